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

// A Form is the pattern of one name of a path: literal text in lower case and
// placeholders in their braces, in order. It is matched by hand and not by a
// regular expression, because a directory of thousands of names is searched for
// the few that fit.
type Form struct {
	tokens []string
	last   bool // of its path: it may have an extension
}

// CompileAll reads patterns. It also returns the one that it cannot read.
func CompileAll(texts []string) (paths []Path, bad string, err error) {
	for _, text := range texts {
		p, err := compile(text)
		if err != nil {
			return nil, text, err
		}
		paths = append(paths, p)
	}
	return paths, "", nil
}

func compile(text string) (Path, error) {
	for _, need := range []string{"{version}", "{variant}"} {
		if !strings.Contains(text, need) {
			return nil, fmt.Errorf("%s is missing", need)
		}
	}
	var p Path
	names := strings.Split(text, "/")
	for i, name := range names {
		f, err := compileName(name, i == len(names)-1)
		if err != nil {
			return nil, err
		}
		p = append(p, f)
	}
	return p, nil
}

// compileName reads one name of a pattern.
func compileName(name string, last bool) (Form, error) {
	if name == "" || name == "." || name == ".." {
		return Form{}, fmt.Errorf("invalid name %q", name)
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
			return Form{}, fmt.Errorf("unknown placeholder %s: use {version}, {variant}, {sep} or {any}", token)
		}
		f.tokens = append(f.tokens, token)
		rest = after
	}
	return f, nil
}

// A Match is what the names of a path have in them, as far as they were
// matched.
type Match struct {
	Version version.Version
	Variant version.Variant
	Ext     string // with its dot, lower case
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

// Name matches the next name of a path, in lower case. It reports whether the
// name fits the form and does not contradict the names before it.
func (m Match) Name(f Form, name string) (Match, bool) {
	t := matcher{last: f.last}
	return t.match(m, f.tokens, name)
}

// A matcher matches one name: each of its methods matches its token at the
// start of rest and then the remaining tokens.
type matcher struct {
	last bool
	// dead are the states in which {any} did not match: without it, the time
	// would multiply with each {any}.
	dead map[state]bool
}

// A state is all that decides whether what remains can match.
type state struct {
	tokens, rest int // how many are left
	version      version.Version
	variant      version.Variant
}

func (t *matcher) match(m Match, tokens []string, rest string) (Match, bool) {
	if len(tokens) == 0 {
		m.Ext = rest
		return m, rest == "" || t.last && isExtension(rest)
	}
	token, tokens := tokens[0], tokens[1:]
	switch token {
	case "{version}":
		return t.version(m, tokens, rest)
	case "{variant}":
		return t.variant(m, tokens, rest)
	case "{any}":
		return t.any(m, tokens, rest)
	case "{sep}":
		if rest == "" || strings.IndexByte("_. -", rest[0]) < 0 {
			return m, false
		}
		return t.match(m, tokens, rest[1:])
	}
	if after, ok := strings.CutPrefix(rest, token); ok {
		return t.match(m, tokens, after)
	}
	return m, false
}

// version tries a version with the number of its beta and without it.
func (t *matcher) version(m Match, tokens []string, rest string) (Match, bool) {
	for n := versionLen(rest); n > 0; n = withoutBetaNumber(rest[:n]) {
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
	return m, false
}

func (t *matcher) variant(m Match, tokens []string, rest string) (Match, bool) {
	variant := version.Setup
	after, ok := strings.CutPrefix(rest, "setup")
	if !ok {
		variant = version.FullSetup
		after, ok = strings.CutPrefix(rest, "fullsetup")
	}
	if !ok || m.Variant != 0 && m.Variant != variant {
		return m, false
	}
	m.Variant = variant
	return t.match(m, tokens, after)
}

// any tries the longest text first.
func (t *matcher) any(m Match, tokens []string, rest string) (Match, bool) {
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
	return m, false
}

// versionLen returns the length of the longest prefix of s that looks like a
// version, or 0. Whether it is one is decided by version.Parse.
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

const beta = "-beta"

// withoutBetaNumber returns the length of a version without the number of its
// beta, or 0 if it has none: a beta is never taken for the release (R7).
func withoutBetaNumber(v string) int {
	if at := strings.Index(v, beta) + len(beta); at >= len(beta) && at < len(v) {
		return at
	}
	return 0
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// digits returns how many digits s starts with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// isExtension reports whether s is the extension of a file. It has a letter:
// "7.12.100.1" is not a version with the extension ".1". Of two extensions the
// first must be ".tar": "Setup.exe.part" is not a Setup yet.
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
