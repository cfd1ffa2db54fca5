package strict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf16"
)

// JSON returns v as a JSON document with a line feed at its end, indented if
// indent is not empty. Characters that could steer a terminal, a page or a log,
// such as those that turn the writing direction, are escaped: a program reads the
// exact text, and who prints the document is safe.
func JSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	safe := make([]byte, 0, b.Len())
	for _, r := range b.String() { // valid UTF-8, which the encoder sees to
		switch {
		case r == '\n' || unicode.IsGraphic(r): // line feeds are between the values alone
			safe = append(safe, string(r)...)
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, hi, lo)
		default:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
	}
	return safe, nil
}
