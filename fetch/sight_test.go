package fetch_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// An account that cannot remember what it saw still finds releases: an archive asks
// for two sightings itself.
func TestSightingsThatCannotBeWritten(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), time.Now().Add(-time.Hour))
	file := lab.WriteTemp(t, "file", nil)
	f := fetch.Finder{Sightings: filepath.Join(file, "sightings.json")}
	_, err := f.Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.NoError(t, err)
	f.Sightings = filepath.Join(t.TempDir(), "sightings.json")
	_, err = f.Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.ErrorIs(t, err, fetch.ErrNoRelease, "seen once")
}
