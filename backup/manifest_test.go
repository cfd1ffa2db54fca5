package backup

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const someID = "20260112-070000.123456-01234567"

func TestNewerFormatIsRefused(t *testing.T) {
	_, err := decode([]byte(`{"format": 2, "new": "field"}`), someID)
	require.ErrorIs(t, err, ErrIncompatible)
	require.ErrorContains(t, err, "use a newer program")
}

func TestUnknownFieldIsDamage(t *testing.T) {
	_, err := decode([]byte(`{"format": 1, "id": "`+someID+`", "new": "field"}`), someID)
	require.ErrorIs(t, err, ErrDamaged)
}

func TestManifestPathsAreChecked(t *testing.T) {
	sum := strings.Repeat("0", 64)
	for _, files := range [][]file{
		{{Path: "../x", SHA256: sum}},
		{{Path: "/etc/passwd", SHA256: sum}},
		{{Path: `a\b`, SHA256: sum}},
		{{Path: ".", SHA256: sum}},
		{{Path: "", SHA256: sum}},
		{{Path: "a", SHA256: sum}, {Path: "a", SHA256: sum}},
		{{Path: "a", SHA256: strings.ToUpper(strings.Repeat("a", 64))}},
		{{Path: "a", SHA256: sum, Bytes: -1}},
	} {
		body, err := json.Marshal(manifest{format, Snapshot{ID: someID, Files: files}})
		require.NoError(t, err)
		_, err = decode(body, someID)
		require.ErrorIs(t, err, ErrDamaged, "%v", files)
	}
}

func TestNewIDSortsAfterTheLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) time.Time {
			return time.Unix(rapid.Int64Range(0, 1<<34).Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, name+" ns"))
		}
		last, err := newID(at("last"), nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := newID(at("now"), []string{last})
		if err != nil || id <= last || !idForm.MatchString(id) {
			t.Fatalf("%q after %q, %v", id, last, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	body, _, err := encode(Snapshot{ID: someID, Files: []file{{Path: "a", SHA256: strings.Repeat("0", 64)}}, Meta: Meta{Kind: "k", Detail: []byte("{}")}})
	require.NoError(f, err)
	f.Add(body)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := decode(body, someID)
		if err != nil {
			return
		}
		for _, file := range s.Files {
			if !localPath(file.Path) || strings.Contains(file.Path, "..") && !strings.Contains(file.Path, "...") && strings.HasPrefix(file.Path, "../") {
				t.Fatalf("path %q passed", file.Path)
			}
		}
	})
}
