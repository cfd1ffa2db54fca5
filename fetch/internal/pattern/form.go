// Package pattern matches paths on a server with the forms in which versions
// and variants are named, such as "{version}/{variant}".
package pattern

import (
	"fmt"
	"strings"

	"github.com/aspupdate/aspupdate/version"
)

// A Path is one pattern, name by name.
type Path []Form

// Compile reads a pattern. It must contain {version} and {variant}.
func Compile(text string) (Path, error) {
	for _, need := range []string{"{version}", "{variant}"} {
		if !strings.Contains(text, need) {
			return nil, fmt.Errorf("%s is missing", need)
		}
	}
	var p Path
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

// CompileAll reads patterns. It also returns the one that it cannot read.
func CompileAll(texts []string) (paths []Path, bad string, err error) {
	for _, text := range texts {
		p, err := Compile(text)
		if err != nil {
			return nil, text, err
		}
		paths = append(paths, p)
	}
	return paths, "", nil
}

// Match matches a whole path, and reports whether it fits.
func (p Path) Match(name string) (m Match, ok bool) {
	names := strings.Split(strings.ToLower(name), "/")
	if len(p) != len(names) {
		return Match{}, false
	}
	for i, form := range p {
		if m, ok = m.Name(form, names[i]); !ok {
			return Match{}, false
		}
	}
	return m, true
}

// A Form is what one name of a path must look like: literal text in lower
// case and placeholders in their braces, in order. It is matched by hand and
// not by a regular expression, because a folder of thousands of names is
// looked through for the few that fit.
type Form struct {
	tokens []string
	last   bool // of its path: it may have an extension
}

// formOf reads one name of a pattern.
func formOf(name string, last bool) (Form, error) {
	if name == "" || name == "." || name == ".." {
		return Form{}, fmt.Errorf("%q is no name", name)
	}
	f := Form{last: last}
	for rest := strings.ToLower(name); rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if text != "" {
			f.tokens = append(f.tokens, text)
		}
		if !found {
			break
		}
		inside, after, closed := strings.Cut(after, "}")
		token := "{" + inside
		if closed {
			token += "}"
		}
		switch token {
		case "{version}", "{variant}", "{sep}", "{any}":
		default:
			return Form{}, fmt.Errorf("%s is not known: use {version}, {variant}, {sep} or {any}", token)
		}
		f.tokens = append(f.tokens, token)
		rest = after
	}
	return f, nil
}

// A Match is what the names on the way down have told so far.
type Match struct {
	Version version.Version
	Variant version.Variant
	Ext     string // with its dot, lower case
}

// Name takes the next name of a path, in lower case, into account. It reports
// whether the name fits the form and does not contradict what is known.
func (m Match) Name(f Form, name string) (Match, bool) {
	t := matching{last: f.last}
	return t.match(m, f.tokens, name)
}

// A matching is the matching of one name.
type matching struct {
	last bool
	dead map[state]bool // {any} was tried there in vain; or else each {any} would multiply the time
}

// A state is all that decides whether what remains can match.
type state struct {
	tokens, rest int // how many are left
	version      version.Version
	variant      version.Variant
}

func (t *matching) match(m Match, tokens []string, rest string) (Match, bool) {
	if len(tokens) == 0 {
		m.Ext = rest
		return m, rest == "" || t.last && isExtension(rest)
	}
	token, tokens := tokens[0], tokens[1:]
	switch token {
	case "{version}":
		for n := versionLen(rest); n > 0; n = shorter(rest[:n]) {
			v, err := version.Parse(rest[:n])
			if err != nil || !m.Version.IsZero() && v != m.Version {
				continue
			}
			with := m
			with.Version = v
			if found, ok := t.match(with, tokens, rest[n:]); ok {
				return found, true
			}
		}
	case "{variant}":
		for _, v := range []version.Variant{version.FullSetup, version.Setup} {
			word := "setup"
			if v == version.FullSetup {
				word = "fullsetup"
			}
			after, ok := strings.CutPrefix(rest, word)
			if ok && (m.Variant == 0 || m.Variant == v) {
				m.Variant = v
				return t.match(m, tokens, after)
			}
		}
	case "{sep}":
		if rest != "" && strings.IndexByte("_. -", rest[0]) >= 0 {
			return t.match(m, tokens, rest[1:])
		}
	case "{any}":
		at := state{len(tokens), len(rest), m.Version, m.Variant}
		if t.dead[at] {
			return m, false
		}
		for n := len(rest); n >= 0; n-- {
			if found, ok := t.match(m, tokens, rest[n:]); ok {
				return found, true
			}
		}
		if t.dead == nil {
			t.dead = map[state]bool{}
		}
		t.dead[at] = true
	default:
		if after, ok := strings.CutPrefix(rest, token); ok {
			return t.match(m, tokens, after)
		}
	}
	return m, false
}

// versionLen returns the length of the longest start of s that looks like a
// version, or 0. Whether it is one is for version.Parse to say.
func versionLen(s string) int {
	n := 0
	for i := range 3 {
		if i > 0 {
			if n == len(s) || s[n] != '.' {
				return 0
			}
			n++
		}
		d := digits(s[n:])
		if d == 0 {
			return 0
		}
		n += d
	}
	const beta = "-beta"
	if !strings.HasPrefix(s[n:], beta) {
		return n
	}
	n += len(beta)
	if n < len(s) && s[n] == '.' {
		if d := digits(s[n+1:]); d > 0 {
			n += 1 + d
		}
	}
	return n
}

// shorter returns the length of a version without its beta's number, or 0: a
// beta is never taken for the release (R7).
func shorter(v string) int {
	const beta = "-beta"
	if at := strings.Index(v, beta) + len(beta); at >= len(beta) && at < len(v) {
		return at
	}
	return 0
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// isExtension reports whether s is the extension of a file. It holds a letter:
// "7.12.100.1" is no version with the extension ".1". Of two, the first is
// ".tar": "Setup.exe.part" is no Setup yet.
func isExtension(s string) bool {
	if rest, ok := strings.CutPrefix(s, ".tar."); ok {
		s = "." + rest
	}
	if len(s) < 2 || s[0] != '.' {
		return false
	}
	s = s[1+digits(s[1:]):]
	for i := range len(s) {
		if !isDigit(s[i]) && (s[i] < 'a' || s[i] > 'z') {
			return false
		}
	}
	return s != ""
}
