package archive_test

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

func TestOneConnectionForALookAndOneForADownload(t *testing.T) {
	x := newTree(t)
	require.Equal(t, 1, lab.Logins(x.s))
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	require.Equal(t, 2, lab.Logins(x.s))
	lab.NoneLeft(t, x.s)
}

func TestAConnectionThatEndedWhileItWasKept(t *testing.T) {
	for name, reply := range map[string]string{"421": "421 idle for too long", "silently": ""} {
		t.Run(name, func(t *testing.T) {
			x := newTree(t)
			lists := 0
			x.s.OnCommand(func(verb, _ string) string {
				if verb != "MLSD" {
					return ""
				}
				if lists++; lists == 2 {
					if reply == "" {
						x.s.Drop()
					}
					return reply
				}
				return ""
			})
			src := lab.Client(x.s)
			src.Retry = fetch.Retry{Attempts: 1}
			rel, err := fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
			require.NoError(t, err, "that says nothing of the server")
			require.Equal(t, x.rel.Files, rel.Files)
		})
	}
}

// A server that allows one connection, and a verifier that asks it.
func TestAVerifierMayAskTheSameServer(t *testing.T) {
	x := newSetup(t, size)
	x.s.Put(lab.SetupPath+".sha256", []byte(lab.Sum(x.data)), lab.Released)
	x.s.OnCommand(func(verb, _ string) string {
		if verb == "USER" && x.s.Open() > 1 {
			return "421 one connection only"
		}
		return ""
	})
	for _, reused := range []bool{false, true} {
		it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.Sidecar(x.src))
		x.good(t, it, err)
		require.Equal(t, reused, it.Reused)
	}
}

func TestAConnectionOnWhichSomethingFailedIsNotKept(t *testing.T) {
	for name, fault := range map[string]fetchtest.Fault{
		"426": {Cut: 100, Reply: "426 broken"}, "cut": {Cut: 100, Reset: true}, "451": {Reply: "451 no"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
				if tr.N == 1 {
					return fault
				}
				return fetchtest.Fault{}
			})
			it, err := x.blind(t.Context())
			x.good(t, it, err)
			require.GreaterOrEqual(t, lab.Logins(x.s), 3, "one search, the transfer that failed, and what came after it")
			require.False(t, slices.Contains(x.s.Commands(), "NOOP"))
		})
	}
}

// Canceling one operation does not end a connection that another may use, and
// a canceled one leaves none.
func TestCancelAndKeep(t *testing.T) {
	x := newSetup(t, size)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := x.src.List(ctx, "/")
	require.NoError(t, err)
	cancel()
	r, err := x.src.Open(t.Context(), lab.SetupPath, 0)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	lab.NoneLeft(t, x.s)
}
