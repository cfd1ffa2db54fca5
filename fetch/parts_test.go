package fetch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

const setupDir = "/asp/7.12.100/Setup"

// Half an installer is useless: one unfetchable file makes the directory so.
func TestAnUnfetchableDirectoryIsPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  fetch.SkipReason
	}{
		"a device":           {[]string{"type=file;size=5;modify=20191204170000; aux.dll"}, fetch.SkipUnsafe},
		"a path that leaves": {[]string{"type=file;size=5;modify=20191204170000; ../../../x"}, fetch.SkipUnsafe},
		"a link":             {[]string{"type=OS.unix=slink:/etc;size=5;modify=20191204170000; link"}, fetch.SkipLink},
		"no size":            {[]string{"type=file;modify=20191204170000; a"}, fetch.SkipNoSize},
		"one name twice":     {[]string{"type=file;size=5;modify=20191204170000; A.dll", "type=file;size=5;modify=20191204170000; a.DLL"}, fetch.SkipUnsafe},
		"an unreadable line": {[]string{"what is this"}, fetch.SkipUnreadable},
		"more than there can be": {[]string{
			"type=file;size=9000000000000000000;modify=20191204170000; a", "type=file;size=9000000000000000000;modify=20191204170000; b",
		}, fetch.SkipParts},
		"an upload":         {[]string{"type=file;size=5;modify=20191204170000; a.filepart"}, fetch.SkipSettling},
		"nothing yet":       {[]string{"type=cdir;modify=20191204170000; ."}, fetch.SkipSettling},
		"a file just there": {[]string{"type=file;size=5;modify=" + time.Now().UTC().Format("20060102150405") + "; a"}, fetch.SkipSettling},
		"without end":       {nil, fetch.SkipParts},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			deep := setupDir
			for range 40 {
				deep += "/d"
			}
			s.Put(deep+"/x", []byte("x"), lab.Released)
			s.OnList(func(dir string) []string {
				if dir == setupDir {
					return c.lines
				}
				return nil
			})
			found, err := fetch.Finder{}.Find(t.Context(), lab.Client(s), "asp")
			require.NoError(t, err)
			require.Empty(t, found.Releases)
			require.Len(t, found.Skipped, 1)
			require.Equal(t, c.want, found.Skipped[0].Reason)
			require.Equal(t, "7.12.100", found.Skipped[0].Version.String())
			if name == "a path that leaves" {
				require.Equal(t, setupDir+"/../../../x", found.Skipped[0].Path, "the path is reported as it was sent")
			}
		})
	}
}
