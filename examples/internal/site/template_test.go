package site

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
)

// TestTemplate loads the template as it is, and with everything that is commented
// out.
func TestTemplate(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	for _, goos := range []string{"linux", "windows"} {
		text := Template(goos, "en")
		require.NotRegexp(t, `\{(data|app|etc|stop|start)\}`, text)
		text = regexp.MustCompile(`"(C:)?/`).ReplaceAllString(text, `"`+dir+"/") // absolute on each system
		etc := dir + "/etc/aspupdate"
		if goos == "windows" {
			etc = dir + "/ProgramData/aspupdate/etc"
		}
		require.NoError(t, os.MkdirAll(etc, 0o700))
		for _, name := range []string{"ftp-password", "asp.uri"} {
			require.NoError(t, os.WriteFile(filepath.Join(etc, name), []byte("secret"), 0o600))
		}
		path := filepath.Join(dir, goos+".toml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := Load(path)
		require.NoError(t, err)

		all := regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(text, "$1")
		var c Config
		require.NoError(t, toml.NewDecoder(strings.NewReader(all)).DisallowUnknownFields().Decode(&c))
		var generic map[string]any
		require.NoError(t, toml.Unmarshal([]byte(all), &generic))
		requireEveryKey(t, "", reflect.TypeFor[Config](), generic)
	}
}

// requireEveryKey fails unless the tables have all the keys of a type.
func requireEveryKey(t *testing.T, at string, typ reflect.Type, table map[string]any) {
	t.Helper()
	var names []string
	for f := range strict.Fields(typ) {
		name := f.Tag.Get("toml")
		if name == "folder" { // read, and not offered
			continue
		}
		names = append(names, name)
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct {
			continue
		}
		sub, ok := table[name].(map[string]any)
		if list, is := table[name].([]any); is && len(list) > 0 {
			sub, ok = list[0].(map[string]any)
		}
		require.True(t, ok, "%s%s: %T", at, name, table[name])
		requireEveryKey(t, fmt.Sprint(at, name, "."), inner, sub)
	}
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(table)), at)
}

// TestTemplatesAgree compares the templates of the two languages: the same keys in
// the same order, with the same values but for those that a person fills in.
func TestTemplatesAgree(t *testing.T) {
	values := func(language string) (keys []string) {
		for line := range strings.Lines(Template("windows", language)) {
			line, _, _ = strings.Cut(strings.TrimRight(line, "\r\n"), " # ")
			if strings.HasPrefix(line, "# ") || line == "#" {
				continue
			}
			keys = append(keys, strings.TrimRight(regexp.MustCompile(`"[^"]*"`).ReplaceAllStringFunc(line, func(value string) string {
				if strings.Contains(value, " ") { // what a person says
					return `"…"`
				}
				return value
			}), " "))
		}
		return keys
	}
	require.Equal(t, values("en"), values("ru"))
}
