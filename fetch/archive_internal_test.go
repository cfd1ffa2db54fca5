package fetch

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A version that is published between a reader's two looks is there; a link, a
// file and another spelling are refused.
func TestR10AppearedWhileReading(t *testing.T) {
	t.Parallel()
	a := Archive{Dir: t.TempDir()}
	require.NoError(t, os.Mkdir(filepath.Join(a.Dir, "asp"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(a.Dir, "file"), nil, 0o600))
	there, err := a.appeared(".", "asp", []string{"other"})
	require.NoError(t, err)
	require.True(t, there)
	there, err = a.appeared(".", "gone", nil)
	require.NoError(t, err)
	require.False(t, there)
	refused := []string{"file"}
	if runtime.GOOS == "windows" {
		refused = append(refused, "ASP")
	} else {
		require.NoError(t, os.Symlink("asp", filepath.Join(a.Dir, "link")))
		refused = append(refused, "link")
	}
	for _, name := range refused {
		_, err = a.appeared(".", name, []string{"asp"})
		require.ErrorIs(t, err, ErrUnsafeName, name)
	}
}

// What a full disk did not take is not hashed: the journal's hash is always
// that of the bytes that are there, or the download could not go on.
func TestFailedWriteIsNotHashed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "payload")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	p := &partial{f: f, h: sha256.New().(hash.Cloner)}
	_, err = p.Write([]byte("written"))
	require.NoError(t, err)
	require.NoError(t, f.Close())

	n, err := p.Write([]byte("refused"))
	require.Error(t, err)
	require.Zero(t, n)
	require.Equal(t, int64(len("written")), p.size)
	require.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte("written"))), p.sum())
}

// isPlain is isSafe's short cut, and takes nothing that checkName refuses.
func FuzzIsPlain(f *testing.F) {
	for _, seed := range []string{"Setup_7.01.100.exe", "CLOCK$", "com1.txt", "a..", "Fullsetup.", "aux", "lpt1.exe", "name \u00a0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if isPlain(name) && checkName(name) != nil {
			t.Errorf("%q is said to be plain", name)
		}
	})
}
