// Package strict reads TOML that people write. It refuses unknown keys, and its
// errors name the line, the key and what is allowed there.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// A Duration is written as "90s", "20m" or "2h". It is never negative. A number
// without a unit is an error: TOML's decoder would read it as nanoseconds.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("invalid duration %q; write %s", text, meant(string(text)))
	}
	*d = Duration(v)
	return nil
}

// Decode reads data into the struct that into points to. Its errors begin with
// path. The places of the keys are for errors that are found later.
func Decode(path string, data []byte, into any) (Places, error) {
	t := reflect.TypeOf(into).Elem()
	data, err := text(path, data)
	if err != nil {
		return nil, err
	}
	places, err := walk(path, data, t)
	if err != nil {
		return nil, err
	}
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return nil, explain(path, data, t, err)
	}
	return places, nil
}

// explain returns err with the place in the file and what is allowed there.
func explain(path string, data []byte, t reflect.Type, err error) error {
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		var all []error
		for _, e := range strict.Errors {
			row, col := e.Position()
			key := []string(e.Key())
			all = append(all, fmt.Errorf("%s:%d:%d: unknown key %q; allowed %s: %s", path, row, col,
				strings.Join(key, "."), place(key), strings.Join(allowed(t, key), ", ")))
		}
		return errors.Join(all...)
	}
	if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, col := bad.Position()
		what := strings.TrimPrefix(bad.Error(), "toml: ")
		if want := wanted(t, bad.Key()); want != "" {
			what += "; " + strings.Join(bad.Key(), ".") + " must be " + want
		}
		if advice := repair(data, row); advice != "" {
			what += "; " + advice
		}
		return fmt.Errorf("%s:%d:%d: %s", path, row, col, what)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func place(key []string) string {
	if len(key) < 2 {
		return "at the top level"
	}
	return "in " + strings.Join(key[:len(key)-1], ".")
}

// allowed returns the keys that are allowed beside the given one.
func allowed(t reflect.Type, key []string) []string {
	t, ok := typeAt(t, key[:max(len(key)-1, 0)])
	if !ok || t.Kind() != reflect.Struct {
		return []string{"nothing"}
	}
	var names []string
	for f := range Fields(t) {
		names = append(names, f.Tag.Get("toml"))
	}
	slices.Sort(names)
	return names
}

// wanted describes the values that a key accepts.
func wanted(t reflect.Type, key []string) string {
	t, ok := typeAt(t, key)
	if !ok || len(key) == 0 {
		return ""
	}
	switch {
	case t == reflect.TypeFor[Duration]():
		return `a duration such as "90s", "20m" or "2h"`
	case t.Kind() == reflect.String:
		return "a string in quotes"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Slice:
		return "a list of strings in brackets"
	case t.Kind() == reflect.Map:
		return `a table such as { "7.13.100" = "…" }`
	}
	return "a table"
}

// typeAt returns the type of the value at a key, starting from t. A list of
// tables has the type of its tables.
func typeAt(t reflect.Type, key []string) (reflect.Type, bool) {
	for _, name := range key {
		if t.Kind() != reflect.Struct {
			return nil, false
		}
		found := false
		for f := range Fields(t) {
			if f.Tag.Get("toml") == name {
				t, found = f.Type, true
			}
		}
		if !found {
			return nil, false
		}
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
			t = t.Elem()
		}
	}
	return t, true
}

// Fields yields the fields of a struct that a file may set.
func Fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && f.Tag.Get("toml") != "-" && !yield(f) {
				return
			}
		}
	}
}
