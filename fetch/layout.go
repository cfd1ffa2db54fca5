package fetch

import (
	"fmt"
	"path"
	"strings"
)

// A Layout says where releases lie on the server. The regulation gives no
// more than `/<distribution>/X.YY.ZZZ` and
// `/<distribution>/{Setup,FullSetup}` (R2, R3), so that the zero value looks
// for every usual form, see [DefaultPatterns].
type Layout struct {
	// Root is the folder of the distributions; empty means "/".
	Root string

	// Patterns are paths below a distribution's folder. {version} and
	// {variant} stand for themselves, {sep} for one of "_", "-", "." and a
	// blank, {any} for anything within one name. Letters match in either
	// case. The last name may have an extension beyond the pattern. Empty
	// means DefaultPatterns.
	Patterns []string
}

// DefaultPatterns returns the forms that the zero [Layout] looks for.
func DefaultPatterns() []string {
	return []string{
		"{version}/{variant}",
		"{variant}/{version}",
		"{variant}{sep}{version}",
		"{version}/{variant}{sep}{version}",
	}
}

// A pattern is one path, name by name.
type pattern []form

// folder returns the folder of a distribution.
func (l Layout) folder(distribution string) (string, error) {
	if err := checkName(distribution); err != nil {
		return "", err
	}
	return path.Join("/", l.Root, distribution), nil
}

func (l Layout) compile() ([]pattern, error) {
	texts := l.Patterns
	if len(texts) == 0 {
		texts = DefaultPatterns()
	}
	var all []pattern
	for _, text := range texts {
		p, err := compile(text)
		if err != nil {
			return nil, &Error{Op: "read layout", Name: text, Err: err, Hint: `write it like "{version}/{variant}"`}
		}
		all = append(all, p)
	}
	return all, nil
}

func compile(text string) (pattern, error) {
	for _, need := range []string{"{version}", "{variant}"} {
		if !strings.Contains(text, need) {
			return nil, fmt.Errorf("%s is missing", need)
		}
	}
	var p pattern
	names := strings.Split(text, "/")
	for i, name := range names {
		f, err := formOf(name, i == len(names)-1)
		if err != nil {
			return nil, err
		}
		p = append(p, f)
	}
	return p, nil
}
