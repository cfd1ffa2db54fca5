// Package lang has what the program says in Russian: see package translate.
package lang

import (
	_ "embed"

	"golang.org/x/text/language"

	"github.com/aspupdate/aspupdate/examples/internal/translate"
)

//go:embed ru.po
var russian string

// A Language is one that the program speaks. Nil is English.
type Language = translate.Language

// Choose returns the language that flag names, or env, or the system: see
// [translate.Choose].
func Choose(flag string, env []string, system func() []string) (*Language, error) {
	return translate.Choose(flag, env, system, func(tag language.Tag) *Language {
		if base, _ := tag.Base(); base.String() == "ru" {
			return Russian()
		}
		return nil
	})
}

// Russian returns the Russian language.
func Russian() *Language { return translate.New(language.Russian, russian) }

// System returns the languages of the person at this machine.
func System() []string { return translate.System() }
