package ftp_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

func TestFTPOnMoreServers(t *testing.T) {
	t.Parallel()
	lab.SideBySide(t, realtest.MoreMakes(), func(m realtest.Make) string { return string(m) }, func(t *testing.T, m realtest.Make) {
		fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source {
			root := t.TempDir()
			for path, data := range files {
				lab.Put(t, root, path, data)
			}
			return lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)
		})
		root := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(root, "asp"), 0o755))
		src := lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)
		found, err := fetch.Finder{}.Find(t.Context(), src, "asp")
		require.NoError(t, err, "an empty directory is empty")
		require.Empty(t, found.Releases)
		if src.Password != "" && m != realtest.Inetutils { // whose anonymous user has any password
			src.Password = "not-it"
			_, err = src.List(t.Context(), "/")
			require.ErrorIs(t, err, fetch.ErrCredentials)
		}
	})
}

func TestFTPOnMoreServersByTLS(t *testing.T) {
	t.Parallel()
	lab.SideBySide(t, []realtest.Make{realtest.Pyftpdlib, realtest.FTPSrv}, func(m realtest.Make) string { return string(m) }, func(t *testing.T, m realtest.Make) {
		fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source {
			root := t.TempDir()
			for path, data := range files {
				lab.Put(t, root, path, data)
			}
			return lab.Real(realtest.FTP(t, m, root, realtest.Options{TLS: realtest.Explicit}), realtest.Explicit)
		})
	})
}
