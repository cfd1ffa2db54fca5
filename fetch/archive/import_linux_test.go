package archive_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

// An import from a mounted share ends though the share does not answer, wherever it
// stops, and archives nothing. The archive is free for the next one.
func TestR10AnImportFromAShareThatHangs(t *testing.T) {
	t.Parallel()
	data := lab.Payload(3 << 20)
	for name, stop := range map[string]struct {
		file  string
		kind  uint32
		after int
	}{
		"at once":                 {"Setup.exe", lab.ShareLookup, 0},
		"opening":                 {"Setup.exe", lab.ShareOpen, 0},
		"in the middle":           {"Setup.exe", lab.ShareRead, 5},
		"listing a tree":          {"tree", lab.ShareReaddir, 0},
		"in the middle of a tree": {"tree", lab.ShareRead, 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			share := lab.NewShare(t, map[string][]byte{"Setup.exe": data, "tree/a.cab": data, "tree/b/b.cab": data})
			a := (&archive.Archive{Dir: filepath.Join(t.TempDir(), "archive")}).WithPatience(lab.Silence)
			share.Hang(stop.kind, stop.after)
			began := time.Now()
			_, err := a.Import(t.Context(), filepath.Join(share.Dir, stop.file), setupKey(), archive.Unauthenticated("a test"))
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.ErrorContains(t, err, "check the stick or the share")
			require.Less(t, time.Since(began), time.Minute)
			items, err := a.List()
			require.NoError(t, err)
			require.Empty(t, items)
			_, err = a.Import(t.Context(), lab.WriteTemp(t, "Setup.exe", data), setupKey(), archive.Unauthenticated("a test"))
			require.NoError(t, err)
		})
	}
}

// A stick is pulled out while something is imported from it: nothing is archived, and
// the archive is free for the next one.
func TestR10AnImportFromAStickThatIsPulledOut(t *testing.T) {
	t.Parallel()
	data := lab.Payload(3 << 20)
	for name, stop := range map[string]struct {
		file  string
		kind  uint32
		after int
	}{
		"before":                  {"Setup.exe", lab.ShareLookup, 0},
		"opening":                 {"Setup.exe", lab.ShareOpen, 0},
		"in the middle":           {"Setup.exe", lab.ShareRead, 5},
		"listing a tree":          {"tree", lab.ShareReaddir, 1},
		"in the middle of a tree": {"tree", lab.ShareRead, 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			share := lab.NewShare(t, map[string][]byte{"Setup.exe": data, "tree/a.cab": data, "tree/b/b.cab": data})
			a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive")}
			share.PullOut(stop.kind, stop.after)
			_, err := a.Import(t.Context(), filepath.Join(share.Dir, stop.file), setupKey(), archive.Unauthenticated("a test"))
			require.ErrorIs(t, err, unix.EIO)
			require.ErrorContains(t, err, share.Dir)
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.ErrorContains(t, err, "check the stick or the share")
			items, err := a.List()
			require.NoError(t, err)
			require.Empty(t, items)
			_, err = a.Import(t.Context(), lab.WriteTemp(t, "Setup.exe", data), setupKey(), archive.Unauthenticated("a test"))
			require.NoError(t, err)
		})
	}
}
