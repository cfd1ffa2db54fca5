package site

import (
	"fmt"
	"testing"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
)

// A configuration is read or refused, whatever is in the file, and shows no secret.
func FuzzConfig(f *testing.F) {
	for _, os := range []string{"linux", "windows"} {
		f.Add([]byte(Template(os, "en")))
	}
	f.Add([]byte(goodConfig("/x")))
	f.Add([]byte("[[distribution]]\nsha256 = { a = 1 }\n[server]\nsettle = '-1h'\nsettle = 'x'"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c Config
		_, err := strict.Decode("aspupdate.toml", text, &c)
		if err != nil && err.Error() == "" {
			t.Fatal("an error without a text")
		}
		_ = fmt.Sprintf("%+v", c)
	})
}
