package strict

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
	"golang.org/x/text/encoding/unicode"
)

// text returns data as UTF-8 without a byte order mark. It accepts what Notepad
// writes and what can be read in one way only: UTF-8 and UTF-16 with a mark. The
// encoding that Windows calls ANSI is refused: which one it is cannot be seen.
func text(path string, data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
		decoded, err := utf16.NewDecoder().Bytes(data)
		if err != nil {
			return nil, fmt.Errorf("%s: the file is damaged UTF-16: %w", path, err)
		}
		return decoded, nil
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		good := data
		for i := 0; i < len(data); {
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n <= 1 {
				good = data[:i]
				break
			}
			i += n
		}
		row, col := position(good, len(good))
		return nil, fmt.Errorf("%s:%d:%d: the file is not UTF-8, such as one that Notepad saved as ANSI; save it again with the encoding UTF-8", path, row, col)
	}
	return data, nil
}

// position returns the line and the column of an offset, both from 1.
func position(data []byte, offset int) (row, col int) {
	before := data[:offset]
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
}

// Places maps a key, with those of its tables before it, to its line and column
// in the file. The second table of a list has its number from 0 in the key:
// "distribution.1.name".
type Places map[string][2]int

// key matches a key in the text of an error.
var key = regexp.MustCompile(`[a-z_0-9]+(\.[a-z_0-9]+)*`)

// Of returns the place of the first key that the text of an error names, as
// "line:column: ", or "" if it names none. In is the table that the error is
// about, such as "distribution.0", or "".
func (p Places) Of(in, text string) string {
	best, found := p[in]
	for i, m := range key.FindAllStringIndex(text, -1) {
		name := text[m[0]:m[1]]
		known := in != "" || i == 0 && m[0] == 0 || strings.Contains(name, ".") // and not a word of the sentence
		if in != "" {
			name = in + "." + name
		}
		if at, ok := p[name]; ok && known {
			best, found, in = at, true, name // the next name may be a key in it
		}
	}
	if !found {
		return ""
	}
	return fmt.Sprintf("%d:%d: ", best[0], best[1])
}

// walk returns the places of all keys, and an error for each value that the
// decoder would read as something else than what was meant. What is no TOML is
// left to the decoder, which says why.
func walk(path string, data []byte, t reflect.Type) (Places, error) {
	w := walker{path: path, data: data, t: t, places: Places{}, lists: map[string]int{}}
	var p unstable.Parser
	p.Reset(data)
	w.parser = &p
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			w.table = names(e)
			if name := strings.Join(w.table, "."); e.Kind == unstable.ArrayTable {
				w.lists[name]++
			}
			w.put(w.table, e)
		case unstable.KeyValue:
			w.value(w.table, e)
		}
	}
	if p.Error() != nil {
		return nil, nil //nolint:nilerr // the decoder says it better
	}
	return w.places, errors.Join(w.errs...)
}

type walker struct {
	path   string
	data   []byte
	t      reflect.Type
	parser *unstable.Parser
	table  []string
	lists  map[string]int // how many tables each list has so far
	places Places
	errs   []error
}

// names returns the parts of the key of an expression.
func names(n *unstable.Node) (parts []string) {
	for it := n.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
	}
	return parts
}

// put records the place of a key.
func (w *walker) put(key []string, n *unstable.Node) {
	it := n.Key()
	if !it.Next() {
		return
	}
	row, col := position(w.data, int(w.parser.Range(it.Node().Data).Offset))
	for _, name := range []string{strings.Join(key, "."), strings.Join(w.numbered(key), ".")} {
		if _, ok := w.places[name]; !ok {
			w.places[name] = [2]int{row, col}
		}
	}
}

// numbered returns a key with the numbers of the tables of lists in it.
func (w *walker) numbered(key []string) (out []string) {
	for i, name := range key {
		out = append(out, name)
		if n := w.lists[strings.Join(key[:i+1], ".")]; n > 0 {
			out = append(out, fmt.Sprint(n-1))
		}
	}
	return out
}

// value checks the value of a key, and those inside it.
func (w *walker) value(table []string, e *unstable.Node) {
	key := slices.Concat(table, names(e))
	w.put(key, e)
	w.node(key, e.Value())
}

func (w *walker) node(key []string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			w.value(key, it.Node())
		}
		return
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			w.node(key, it.Node())
		}
		return
	case unstable.String:
		w.escapes(key, v)
		return
	}
	if t, ok := typeAt(w.t, key); !ok || t != reflect.TypeFor[Duration]() && (t.Kind() != reflect.Pointer || t.Elem() != reflect.TypeFor[Duration]()) {
		return
	}
	w.fail(v, "%s = %s has no unit; write %s", strings.Join(key, "."), v.Data, meant(string(v.Data)))
}

func (w *walker) fail(v *unstable.Node, format string, args ...any) {
	raw := v.Raw
	if raw.Length == 0 && len(v.Data) > 0 {
		raw = w.parser.Range(v.Data)
	}
	row, col := position(w.data, int(raw.Offset))
	w.errs = append(w.errs, fmt.Errorf("%s:%d:%d: %w", w.path, row, col, fmt.Errorf(format, args...)))
}

// control matches an escape that becomes a control character: of C:\temp and
// C:\new in double quotes no one meant the tab and the line feed.
var control = regexp.MustCompile(`^"(?:[^\\]|\\[^btnfre])*\\([btnfre])`)

// escapes refuses a string that has a path of Windows in double quotes, where
// TOML reads a part of it as a control character.
func (w *walker) escapes(key []string, v *unstable.Node) {
	raw := string(w.parser.Raw(v.Raw))
	m := control.FindStringSubmatch(raw)
	if m == nil || strings.HasPrefix(raw, `"""`) || strings.HasPrefix(raw, `"/`) { // no path of Windows
		return
	}
	w.fail(v, `%s: \%s in double quotes is a control character; %s`, strings.Join(key, "."), m[1], slashes)
}

const slashes = `write a path with / or in single quotes, as C:/ASP or 'C:\ASP'`

// meant returns how to write the duration that somebody has probably meant.
func meant(text string) string {
	s := strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(text, ",", ".")), ""))
	s = strings.NewReplacer("minutes", "m", "minute", "m", "min", "m", "hours", "h", "hour", "h", "seconds", "s", "second", "s", "sec", "s",
		"минут", "m", "мин", "m", "часов", "h", "часа", "h", "час", "h", "ч", "h", "секунд", "s", "сек", "s", "с", "s", "м", "m", "_", "").Replace(s)
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return fmt.Sprintf("%q", s)
	}
	if d, err := time.ParseDuration(s + "s"); err == nil && d > 0 {
		return fmt.Sprintf("%q for seconds, %q for minutes or %q for hours", s+"s", s+"m", s+"h")
	}
	return `it as "90s", "20m" or "2h"`
}

// comma matches a number with a decimal comma, without quotes.
var comma = regexp.MustCompile(`=\s*\d+,\d+`)

// repair returns what to do about a line that is no TOML, "" if that is not known.
func repair(data []byte, row int) string {
	lines := bytes.Split(data, []byte("\n"))
	if row < 1 || row > len(lines) {
		return ""
	}
	line := string(lines[row-1])
	switch {
	case strings.ContainsAny(line, "“”„«»‘’"):
		return `write straight quotes, " or ', as on the key of the keyboard`
	case strings.Contains(line, `"`) && strings.Contains(line, `\`):
		return slashes
	case comma.MatchString(line):
		return "write a point and not a comma in a number; durations are in quotes, as \"1.5h\""
	}
	return ""
}
