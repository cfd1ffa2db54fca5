package archive

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
)

// A version that is published between two reads is there; a link, a
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
		require.ErrorIs(t, err, fetch.ErrUnsafeName, name)
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
