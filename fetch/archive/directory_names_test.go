package archive_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// In CP1251 "ё" comes before "а", in UTF-8 after "я": a directory that is sorted
// by the server's bytes cannot be read back from the archive.
func TestADirectoryInCP1251IsSortedAsItIsArchived(t *testing.T) {
	s := fetchtest.New(t)
	x := treeSetup{&setup{s: s, src: lab.Client(s), events: &events{}}, map[string][]byte{
		"ёлка.dll": lab.Payload(1000), "яблоко.dll": lab.Payload(2000), "арбуз.dll": lab.Payload(3000), "Ёж/а.txt": []byte("1"),
	}}
	for name, data := range x.files {
		raw, err := charmap.Windows1251.NewEncoder().String(treePath + "/" + name)
		require.NoError(t, err)
		s.Put(raw, data, lab.Released)
	}
	x.archive = &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon, Observe: x.events.Observe}
	x.rel = lab.Latest(t, x.src)
	it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.PinnedSHA256(hashTree(x.files)))
	x.good(t, it, err)
	again, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.PinnedSHA256(hashTree(x.files)))
	x.good(t, again, err)
	require.True(t, again.Reused)
}
