package zipfile

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func archive(t *testing.T, files int, name func(i int) string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "Setup.zip"))
	require.NoError(t, err)
	z := zip.NewWriter(f)
	for i := range files {
		w, err := z.CreateRaw(&zip.FileHeader{Name: name(i), UncompressedSize64: 2, CompressedSize64: 2})
		require.NoError(t, err)
		_, err = io.WriteString(w, "ab")
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	return f.Name()
}

func TestOpen(t *testing.T) {
	z, err := Open(archive(t, 3, func(i int) string { return fmt.Sprint("f", i) }))
	require.NoError(t, err)
	require.Len(t, z.File, 3)
	require.Positive(t, z.Size)
	for _, f := range z.File {
		data, err := f.OpenRaw()
		require.NoError(t, err)
		text, err := io.ReadAll(data)
		require.NoError(t, err)
		require.Equal(t, "ab", string(text))
	}
	require.NoError(t, z.Close())
	_, err = Open(filepath.Join(t.TempDir(), "none.zip"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAnArchiveOfManyFilesIsRefused(t *testing.T) {
	_, err := Open(archive(t, MaxFiles+1, func(i int) string { return fmt.Sprint("f", i) }))
	require.ErrorIs(t, err, ErrTooLarge)
	z, err := Open(archive(t, MaxFiles, func(i int) string { return fmt.Sprint("f", i) }))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	long := strings.Repeat("a", 60_000)
	_, err = Open(archive(t, 300, func(i int) string { return fmt.Sprint(long, i) }))
	require.ErrorIs(t, err, ErrTooLarge)
}
