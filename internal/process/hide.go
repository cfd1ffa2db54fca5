package process

import (
	"slices"
	"strings"
)

// Hider replaces values of an environment with their names, long ones first: one
// value may be a part of another. Each line of a value counts as one, since output is shown
// by lines. What is of [BaseEnv] stays, and so do values of less than four bytes:
// without them any text would be unreadable. It returns the length of the longest one, too, in bytes,
// at least 1.
func Hider(env []string) (*strings.Replacer, int) {
	const short = 4
	base := BaseEnv()
	type secret struct{ name, value string }
	var all []secret
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if slices.Contains(base, kv) {
			continue
		}
		for _, part := range append([]string{value}, strings.FieldsFunc(value, func(r rune) bool { return r == '\r' || r == '\n' })...) {
			if len(part) >= short {
				all = append(all, secret{name, part})
			}
		}
	}
	slices.SortFunc(all, func(a, b secret) int { return len(b.value) - len(a.value) })
	var pairs []string
	longest := 1
	for _, s := range all {
		pairs = append(pairs, s.value, "$"+s.name)
		longest = max(longest, len(s.value))
	}
	return strings.NewReplacer(pairs...), longest
}
