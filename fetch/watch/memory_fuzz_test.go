package watch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// A memory that can be read can be written and read again.
func FuzzMemory(f *testing.F) {
	file := filepath.Join(f.TempDir(), "watch.json")
	for _, seed := range []string{
		"", "null", "{}", `{"format":1}`, `{"format":2}`, `{"format":1,"distributions":{"asp":null}}`, `{"format":1,"distributions":null}`,
		`{"format":1,"distributions":{"asp":{"checked":"2026-01-01T00:00:00Z","versions":[{"version":"7.01.100","first_seen":"2026-01-01T00:00:00Z","last_seen":"2026-01-01T00:00:00Z","files":[{"variant":"Setup","path":"/x","size":1}],"owed":["released"]}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := readMemory(file)
		if err != nil {
			return
		}
		for _, h := range m.Distributions {
			_ = h.clone()
		}
		again, err := json.Marshal(m) // as write does, which also waits for the disk
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, again, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readMemory(file); err != nil {
			t.Fatal(err)
		}
	})
}
