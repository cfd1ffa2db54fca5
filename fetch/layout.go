package fetch

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/aspupdate/aspupdate/version"
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

// What a placeholder matches. The version is left to version.Parse, which
// refuses what only looks like one.
var placeholders = map[string]string{
	"{version}": `(?P<version>[0-9]+\.[0-9]+\.[0-9]+(?:-beta(?:\.[0-9]+)?)?)`,
	"{variant}": `(?P<variant>FullSetup|Setup)`,
	"{sep}":     `[_. -]`,
	"{any}":     `.*`,
}

// An extension holds a letter: "7.12.100.1" is no version with the extension
// ".1". Of two, the first is ".tar": "Setup.exe.part" is no Setup yet.
const extension = `(?P<ext>(?:\.tar)?\.[0-9]*[a-z][0-9a-z]*)?`

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// A pattern is one path, name by name.
type pattern []*regexp.Regexp

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
		expr, err := expression(name)
		if err != nil {
			return nil, err
		}
		if i == len(names)-1 {
			expr += extension
		}
		re, err := regexp.Compile(`(?is)^` + expr + `$`)
		if err != nil {
			return nil, err
		}
		p = append(p, re)
	}
	return p, nil
}

func expression(name string) (string, error) {
	if name == "" || name == "." || name == ".." {
		return "", fmt.Errorf("%q is no name", name)
	}
	var b strings.Builder
	at := 0
	for _, loc := range placeholder.FindAllStringIndex(name, -1) {
		expr, ok := placeholders[name[loc[0]:loc[1]]]
		if !ok {
			return "", fmt.Errorf("%s is not known: use {version}, {variant}, {sep} or {any}", name[loc[0]:loc[1]])
		}
		b.WriteString(regexp.QuoteMeta(name[at:loc[0]]) + expr)
		at = loc[1]
	}
	b.WriteString(regexp.QuoteMeta(name[at:]))
	return b.String(), nil
}

// A match is what the names on the way down have told so far.
type match struct {
	version version.Version
	variant version.Variant
	ext     string // with its dot, lower case
}

// name takes the next name of a path into account. It reports whether the
// name fits the pattern's part and does not contradict what is known.
func (m match) name(re *regexp.Regexp, name string) (match, bool) {
	parts := re.FindStringSubmatch(name)
	if parts == nil {
		return m, false
	}
	for i, group := range re.SubexpNames() {
		switch text := parts[i]; group {
		case "version":
			v, err := version.Parse(strings.ToLower(text))
			if err != nil || !m.version.IsZero() && v != m.version {
				return m, false
			}
			m.version = v
		case "variant":
			v := version.Setup
			if strings.EqualFold(text, version.FullSetup.String()) {
				v = version.FullSetup
			}
			if m.variant != 0 && v != m.variant {
				return m, false
			}
			m.variant = v
		case "ext":
			m.ext = strings.ToLower(text)
		}
	}
	return m, true
}
