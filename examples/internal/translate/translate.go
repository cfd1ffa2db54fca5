// Package translate translates what programs print. The whole module speaks
// English: its errors, events and documents. Only what a person reads is
// translated, where it is printed, so that journals and --json stay the same
// everywhere and no call needs to know of languages.
//
// A translation therefore begins with a text that is already formatted. The
// catalog, a PO file, is keyed by the English formats of the source, without
// what joins them to a cause or to what follows. [Language.Text] finds the formats
// that a text was made from, in the whole text or in its parts between colons,
// semicolons and commas, and translates what was filled in by the same rule.
// What comes from elsewhere, such as the words of PostgreSQL or of Windows, stays
// as it is.
package translate

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// A Language is one that the program speaks. Nil is English. It is safe for
// concurrent use.
type Language struct {
	tag     language.Tag
	exact   map[string]string
	formats []*format // the one with the most words of its own first
}

// String returns the name of the language for --lang: "en" or "ru".
func (l *Language) String() string {
	if l == nil {
		return "en"
	}
	return l.tag.String()
}

// Choose returns the language that flag names, or if it is empty the first that
// env, a list of the values of LC_ALL, LC_MESSAGES and LANG, names, or else
// the system's, for which known returns a [Language]. A language that the program does not speak is English; one that
// the flag names is an error.
func Choose(flag string, env []string, system func() []string, known func(language.Tag) *Language) (*Language, error) {
	if flag != "" {
		tag, err := language.Parse(flag)
		base, _ := tag.Base()
		if err != nil || base.String() != "en" && base.String() != "ru" {
			return nil, fmt.Errorf("--lang %s: only en and ru are known", flag)
		}
		return known(tag), nil
	}
	for _, value := range env {
		if name, _, _ := strings.Cut(value, "."); name != "" { // ru_RU.UTF-8
			tag, _ := language.Parse(name) // "C" is no language: English
			return known(tag), nil
		}
	}
	for _, name := range system() {
		if tag, err := language.Parse(name); err == nil {
			return known(tag), nil
		}
	}
	return nil, nil
}

// New returns a language with its catalog, the text of a PO file.
func New(tag language.Tag, catalog string) *Language {
	l := &Language{tag: tag, exact: map[string]string{}}
	for key, text := range Parse(catalog) {
		if f := newFormat(key, text); len(f.verbs) > 0 {
			l.formats = append(l.formats, f)
		} else {
			l.exact[strings.ReplaceAll(key, "%%", "%")] = strings.ReplaceAll(text, "%%", "%")
		}
	}
	slices.SortFunc(l.formats, func(a, b *format) int { return cmp.Or(b.own-a.own, cmp.Compare(a.key, b.key)) })
	return l
}

// Text returns a text that people read in the language.
func (l *Language) Text(s string) string {
	if l == nil {
		return s
	}
	s, config := cutConfig(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if text := strings.TrimSpace(line); text != "" {
			at := strings.Index(line, text)
			before := number.FindString(text)
			if _, ok := l.whole(text, false); ok { // as "3 min"
				before = ""
			}
			lines[i] = line[:at] + before + l.plurals(l.part(text[len(before):])) + line[at+len(text):]
		}
	}
	s = clock.ReplaceAllString(strings.Join(lines, "\n"), "${1} местное")
	s = zone.ReplaceAllString(s, "${1} МСК")
	s = reason.ReplaceAllString(s, "${1} ПРИЧИНА")
	if config != "" {
		s = command.ReplaceAllString(s, "$0"+strings.ReplaceAll(config, "$", "$$"))
	}
	return s
}

var (
	clock = regexp.MustCompile(`(\d\d:\d\d) here\b`)
	zone  = regexp.MustCompile(`(\d\d:\d\d(?::\d\d)?) MSK\b`)
	// number matches what begins a line of a list or of a log: a number, a date, a time.
	number = regexp.MustCompile(`^(?:\d+ +|(?:\d{4}-\d\d-\d\d)? ?(?:\d\d:\d\d(?::\d\d)?(?: MSK)?(?: \([^)]*here\))?)?  +)`)
	reason = regexp.MustCompile(`(--(?:reason|retry|accept)) (?:WHY|REASON)\b`)
	// given matches a --config that was added to the commands of a next step.
	given   = regexp.MustCompile(` --config ('(?:[^']|'\\'')*'|"(?:[^"\\]|\\.)*"|[^\s;,()]+)`)
	command = regexp.MustCompile(`\baspupdate ((archive|backups) )?[a-z]+`)
)

// cutConfig returns a text without the --config of its commands, and that.
func cutConfig(s string) (bare, config string) {
	if !strings.Contains(s, "aspupdate ") {
		return s, ""
	}
	m := given.FindString(s)
	if m == "" || !regexp.MustCompile(command.String()+regexp.QuoteMeta(m)).MatchString(s) {
		return s, ""
	}
	return strings.ReplaceAll(s, m, ""), m
}

// separators are what joins the parts of a text.
var separators = []string{"; ", ": ", ", ", " (", ") ", ")"}

// part translates a line or a part of it.
func (l *Language) part(s string) string {
	if s == "" || strings.HasPrefix(s, "ERROR: ") || strings.HasPrefix(s, "FATAL: ") { // PostgreSQL's own words
		return s
	}
	if t, ok := l.whole(s, false); ok {
		return t
	}
	type cut struct{ at, n int }
	var cuts []cut
	for i := range s {
		for _, sep := range separators {
			if strings.HasPrefix(s[i:], sep) {
				cuts = append(cuts, cut{i, len(sep)})
				break
			}
		}
	}
	if len(cuts) > 200 { // no text of ours has so many, and the time grows with their square
		return s
	}
	for _, c := range slices.Backward(cuts) {
		if t, ok := l.whole(s[:c.at], false); ok {
			return t + s[c.at:c.at+c.n] + l.part(s[c.at+c.n:])
		}
	}
	if t, ok := l.whole(s, true); ok {
		return t
	}
	if len(cuts) > 0 {
		c := cuts[0]
		return l.affix(s[:c.at]) + s[c.at:c.at+c.n] + l.part(s[c.at+c.n:])
	}
	return l.affix(s)
}

// affix translates a phrase at the beginning or the end of a part, such as
// "restore database" before the database's name.
func (l *Language) affix(s string) string {
	for i := len(s) - 1; i > 0; i-- {
		if s[i] != ' ' {
			continue
		}
		if t, ok := l.exact[s[:i]]; ok {
			return t + " " + l.part(s[i+1:])
		}
	}
	for i := 1; i < len(s); i++ {
		if s[i-1] != ' ' {
			continue
		}
		if t, ok := l.exact[s[i:]]; ok && strings.Contains(s[i:], " ") {
			return s[:i] + t
		}
	}
	return s
}

// whole translates a text that was made from one format. Unless it is loose, what
// was filled in has no parts of its own, so that a format does not swallow its
// neighbors.
func (l *Language) whole(s string, loose bool) (string, bool) {
	if t, ok := l.exact[s]; ok {
		return t, true
	}
	for _, f := range l.formats {
		if loose && f.own < 12 {
			break
		}
		if values := f.match(s); values != nil && (loose || f.flat(values)) {
			return f.render(values, l.part), true
		}
	}
	return "", false
}

// plurals chooses the form after each number, or before it and a colon, as in
// "3 {файл|файла|файлов}" and "{файл|файла|файлов}: 3".
func (l *Language) plurals(s string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	s = after.ReplaceAllStringFunc(s, func(m string) string {
		p := after.FindStringSubmatch(m)
		return p[1] + p[2] + l.form(p[1], p[3:])
	})
	return before.ReplaceAllStringFunc(s, func(m string) string {
		p := before.FindStringSubmatch(m)
		return l.form(p[5], p[1:4]) + p[4] + p[5]
	})
}

var (
	after  = regexp.MustCompile(`(\d+)( )\{([^|{}]*)\|([^|{}]*)\|([^|{}]*)\}`)
	before = regexp.MustCompile(`\{([^|{}]*)\|([^|{}]*)\|([^|{}]*)\}([^{}]*?: )(\d+)`)
)

func (l *Language) form(number string, forms []string) string {
	n, err := strconv.Atoi(number[max(0, len(number)-9):]) // the last digits decide
	if err != nil {
		return forms[2]
	}
	switch plural.Cardinal.MatchPlural(l.tag, n, 0, 0, 0, 0) {
	case plural.One:
		return forms[0]
	case plural.Few:
		return forms[1]
	}
	return forms[2]
}

// A format is a key of the catalog that has something filled in.
type format struct {
	key, text string
	verbs     []byte // of the key, in order
	own       int    // how many bytes are the key's own
	longest   string // the longest of these, which a text must have
	once      sync.Once
	pattern   *regexp.Regexp
}

// Verb matches what fmt fills in.
var Verb = regexp.MustCompile(`%(?:\[(\d+)\])?[-+# 0-9.]*([a-zA-Z%])`)

func newFormat(key, text string) *format {
	f := &format{key: key, text: text}
	rest := 0
	for _, m := range append(Verb.FindAllStringSubmatchIndex(key, -1), []int{len(key), len(key), 0, 0, 0, 0}) {
		own := key[rest:m[0]]
		if f.own += len(own); len(own) > len(f.longest) {
			f.longest = own
		}
		if rest = m[1]; m[0] < len(key) && key[m[4]] != '%' {
			f.verbs = append(f.verbs, key[m[4]])
		}
	}
	return f
}

// match returns what was filled in, nil if the text was not made from the format.
func (f *format) match(s string) []string {
	if !strings.Contains(s, f.longest) {
		return nil
	}
	f.once.Do(func() {
		var b strings.Builder
		rest := 0
		for _, m := range Verb.FindAllStringSubmatchIndex(f.key, -1) {
			b.WriteString(regexp.QuoteMeta(f.key[rest:m[0]]))
			b.WriteString(map[byte]string{
				'%': "%", 'd': `([-+]?\d+)`, 'q': `("(?:[^"\\]|\\.)*")`, 'x': `((?:0x)?[0-9a-f]+)`, 'f': `([\d.]+)`, 'o': `([0-7]+)`, 'T': `(\S+)`,
			}[f.key[m[4]]])
			if !strings.ContainsRune("%dqxfoT", rune(f.key[m[4]])) {
				b.WriteString(`(.+?)`)
			}
			rest = m[1]
		}
		f.pattern = regexp.MustCompile("^" + b.String() + regexp.QuoteMeta(f.key[rest:]) + "$")
	})
	if m := f.pattern.FindStringSubmatch(s); m != nil {
		return m[1:]
	}
	return nil
}

// flat reports whether nothing that was filled in has parts of its own.
func (f *format) flat(values []string) bool {
	for i, v := range values {
		if free(f.verbs[i]) && (strings.Contains(v, "; ") || strings.Contains(v, ": ")) {
			return false
		}
	}
	return true
}

// free reports whether a verb is filled in with any text.
func free(verb byte) bool { return verb == 's' || verb == 'v' || verb == 'w' }

// render fills the values into the translation.
func (f *format) render(values []string, translate func(string) string) string {
	next := 0
	return Verb.ReplaceAllStringFunc(f.text, func(v string) string {
		m := Verb.FindStringSubmatch(v)
		if m[2] == "%" {
			return "%"
		}
		i := next
		if m[1] != "" {
			i, _ = strconv.Atoi(m[1])
			i--
		}
		next = i + 1
		if i >= len(values) {
			return v
		}
		if free(f.verbs[i]) {
			return translate(values[i])
		}
		return values[i]
	})
}

// Parse reads the entries of a PO file: msgid and msgstr, each a string or several
// in the lines that follow, as in Go. The first entry, which has no key, is the
// header.
func Parse(text string) map[string]string {
	entries := map[string]string{}
	var key, value string
	var into *string
	end := func() {
		if key != "" && value != "" {
			entries[key] = value
		}
		key, value = "", ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "msgid "); ok {
			end()
			into, line = &key, rest
		} else if rest, ok := strings.CutPrefix(line, "msgstr "); ok {
			into, line = &value, rest
		}
		if s, err := strconv.Unquote(line); err == nil && into != nil {
			*into += s
		}
	}
	end()
	return entries
}
