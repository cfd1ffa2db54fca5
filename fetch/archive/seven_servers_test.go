package archive_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

// A distribution and a tree with Cyrillic names, an empty directory and one that
// is not there, on every make of server. The seventh is ftpserverlib, in
// examples/peers.
func TestCyrillicOnEveryMakeOfServer(t *testing.T) {
	t.Parallel()
	const distribution = "Опека и попечительство"
	files := map[string][]byte{
		"setup.exe": lab.Payload(200_000), "данные/ёлка.cab": lab.Payload(70_000), "данные/я.txt": []byte("я"), "Й й.ini": {}, "a b/-x.txt": []byte("x"),
	}
	makes := slices.Concat(realtest.Makes(), realtest.MoreMakes())
	lab.SideBySide(t, makes, func(m realtest.Make) string { return string(m) }, func(t *testing.T, m realtest.Make) {
		root := t.TempDir()
		for name, data := range files {
			lab.Put(t, root, distribution+"/7.12.100/Setup/"+name, data)
		}
		lab.Put(t, root, distribution+"/7.11.100/FullSetup.exe", lab.Payload(1000))
		lab.Put(t, root, distribution+"/7.11.100/Setup.exe", lab.Payload(5_000_000))
		lab.Put(t, root, "пусто/x", nil)
		src := lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)
		a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon}
		f := fetch.Finder{Sightings: a.Sightings(), Vouched: func(string, version.Version, version.Variant) bool { return true }}
		found, err := f.Find(t.Context(), src, distribution)
		require.NoError(t, err)
		require.Len(t, found.Releases, 2)
		it, err := a.Fetch(t.Context(), src, found.Releases[0], version.Setup, archive.PinnedSHA256(hashTree(files)))
		require.NoError(t, err)
		require.Len(t, it.Parts, len(files))
		require.NoError(t, a.Verify(t.Context(), it))
		old, err := a.Fetch(t.Context(), src, found.Releases[1], version.Setup, archive.WithServerHash(src, archive.PinnedSHA256(lab.Sum(lab.Payload(5_000_000)))))
		require.NoError(t, err)
		require.EqualValues(t, 5_000_000, old.Size)
		_, err = f.Find(t.Context(), src, "нет такого")
		require.ErrorIs(t, err, fetch.ErrUnknownDistribution)
		require.ErrorContains(t, err, distribution)
		unvouched := archive.WithServerHash(src, archive.Unauthenticated("a test"))
		_, err = (&archive.Archive{Dir: t.TempDir(), Settle: -1}).Fetch(t.Context(), src, found.Releases[1], version.Setup, unvouched)
		require.NoError(t, err, "without a sidecar")
	})
}

// A server whose owner denies commands that only report something: what they report comes from
// elsewhere. See https://www.proftpd.org/docs/howto/Limit.html
func TestServersThatDenyCommands(t *testing.T) {
	t.Parallel()
	denied := []string{"MLSD MLST", "SIZE", "MDTM", "SIZE MDTM", "EPSV", "FEAT", "MLSD MLST SIZE MDTM EPSV"}
	lab.SideBySide(t, denied, func(d string) string { return d }, func(t *testing.T, d string) {
		root := t.TempDir()
		for version, length := range map[string]int{"7.12.100": 1000, "7.13.100": 300_000} {
			lab.Put(t, root, "АСП/"+version+"/Setup.exe", lab.Payload(length))
		}
		src := lab.Real(realtest.FTP(t, realtest.ProFTPD, root, realtest.Options{Denied: d}), realtest.Plain)
		_, err := src.Stat(t.Context(), "/АСП/7.13.100/Setup.exe")
		require.Equal(t, strings.Contains(d, "SIZE") || strings.Contains(d, "MDTM"), errors.Is(err, errors.ErrUnsupported), err)
		a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon}
		f := fetch.Finder{Sightings: a.Sightings(), Vouched: func(string, version.Version, version.Variant) bool { return true }}
		found, err := f.Find(t.Context(), src, "АСП")
		require.NoError(t, err)
		require.Len(t, found.Releases, 2)
		require.EqualValues(t, 300_000, found.Releases[0].Files[0].Size)
		require.WithinDuration(t, lab.Released, found.Releases[0].Files[0].Time, 26*time.Hour) // a listing's is in any zone
		it, err := a.Fetch(t.Context(), src, found.Releases[0], version.Setup, archive.PinnedSHA256(lab.Sum(lab.Payload(300_000))))
		require.NoError(t, err)
		require.NoError(t, a.Verify(t.Context(), it))
	})
}
