package archive_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// Every fault of a transfer, on every way to a server: what is archived is the file,
// or nothing is.
func TestNoWayPublishesAWrongFile(t *testing.T) {
	t.Parallel()
	data, other := lab.Payload(size), lab.Payload(size + 1)[:size]
	faults := map[string]fetchtest.Fault{
		"half, then 226":         {Cut: size / 2},
		"half, then 250":         {Cut: size / 2, Reply: "250 done"},
		"half, then 226 at once": {Cut: size / 2, Begin: "226 done"},
		"nothing, then 226":      {Cut: -1},
		"half, then 426":         {Cut: size / 2, Reply: "426 broken"},
		"half, then a reset":     {Cut: size / 2, Reset: true},
		"half, then gone":        {Cut: size / 2, Drop: true},
		"REST ignored":           {Cut: size / 2, IgnoreREST: true},
		"too much":               {Extra: []byte("more")},
		"another file":           {Data: other, Cut: size / 2},
		"all, then 451":          {Reply: "451 no"},
		"all, then gone":         {Drop: true},
	}
	ways := map[string]func(s *fetchtest.Server, src *ftp.Source){
		"directly": func(*fetchtest.Server, *ftp.Source) {},
		"by PASV":  func(_ *fetchtest.Server, src *ftp.Source) { src.PASV = true },
		"by a dial function": func(_ *fetchtest.Server, src *ftp.Source) {
			src.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
		},
		"without EPSV, MLSD, SIZE and MDTM": func(s *fetchtest.Server, _ *ftp.Source) {
			lab.Replies(s, map[string]string{"EPSV": "522 no", "MLSD": "550 no", "SIZE": "550 no", "MDTM": "500 no", "FEAT": "500 no"})
		},
		"with replies that begin like the usual ones": func(s *fetchtest.Server, _ *ftp.Source) {
			lab.Replies(s, map[string]string{"TYPE": "250 ok", "PASS": "202 ok", "REST": "300 ok", "OPTS": "550 no"})
		},
	}
	for fault, f := range faults {
		for way, set := range ways {
			for always, name := range map[bool]string{true: "always", false: "once"} {
				t.Run(fmt.Sprintf("%s, %s, %s", fault, way, name), func(t *testing.T) {
					t.Parallel()
					s := fetchtest.New(t)
					s.Put(lab.SetupPath, data, lab.Released)
					s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
						if always || tr.N == 1 {
							return f
						}
						return fetchtest.Fault{}
					})
					src := &ftp.Source{Addr: s.Addr, Timeout: 5 * time.Second, Retry: lab.Soon}
					set(s, src)
					rel, err := lab.Finder().Latest(t.Context(), src, "asp", version.Setup)
					require.NoError(t, err)
					a := &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon}
					for range 3 {
						_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
					}
					items, lerr := a.List()
					require.NoError(t, lerr)
					for _, it := range items {
						b, rerr := os.ReadFile(it.Path)
						require.NoError(t, rerr)
						want := data
						if always && f.Data != nil { // then that is the server's file
							want = f.Data
						}
						require.Equal(t, lab.Sum(want), lab.Sum(b))
					}
					require.Equal(t, err == nil, len(items) == 1)
					require.True(t, always || err == nil, "one fault is made good: %v", err)
				})
			}
		}
	}
}
