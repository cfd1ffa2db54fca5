//go:build linux && !race

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestSiteOnWindows has the center on this Linux and a site on a Windows by Wine, which
// enrolls, is updated by a rollout, and reports it.
func TestSiteOnWindows(t *testing.T) {
	if os.Getenv("ASPUPDATE_SOAK") != "1" {
		t.Skip("only with ASPUPDATE_SOAK=1")
	}
	mask := syscall.Umask(0o077) // Wine's files inherit no access list from their directory
	t.Cleanup(func() { syscall.Umask(mask) })
	w := realtest.StartWine(t)
	program := w.BuildTest(t, ".")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it only ends one that hangs
	defer cancel()
	self, err := os.Executable()
	require.NoError(t, err)
	r := &region{out: os.Stdout, root: t.TempDir(), self: self}
	_, err = r.fleet(ctx, "init", "--dir", r.dir(), "--host", "127.0.0.1")
	require.NoError(t, err)
	require.NoError(t, r.startCenter(ctx, "-1"))
	t.Cleanup(func() { _ = r.center.Process.Kill(); _ = r.center.Wait() })

	dir := filepath.Join(w.Prefix, "drive_c", "fleet")
	require.NoError(t, os.Mkdir(dir, 0o700))
	ticket := filepath.Join(dir, "ticket.json")
	_, err = r.fleet(ctx, "enroll", "--dir", r.dir(), "--url", r.url, "--out", ticket, windowsSite)
	require.NoError(t, err)
	said, err := os.Create(filepath.Join(r.root, "said"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = said.Close() })
	ended, tries := make(chan error, 1), 0
	begin := func() {
		cmd := w.Command(program, "site")   // in windowsDir
		cmd.Stdout, cmd.Stderr = said, said // Wine's processes in the background would keep a pipe open
		require.NoError(t, cmd.Start())
		go func() { ended <- cmd.Wait() }()
	}
	begin()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case err := <-ended:
				out, _ := os.ReadFile(said.Name())
				if tries++; len(out) == 0 && tries < 3 { // on a busy machine Wine sometimes fails before it starts a program
					begin()
					continue
				}
				t.Fatalf("%s: the site has ended: %v\n%s", what, err, out)
			case <-ctx.Done():
				out, _ := os.ReadFile(said.Name())
				t.Fatalf("%s\n%s", what, out)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	var sum []byte
	wait("publish", func() bool {
		sum, err = os.ReadFile(filepath.Join(dir, "published"))
		return err == nil
	})
	_, err = r.fleet(ctx, "rollout", "start", "--dir", r.dir(), "--url", r.url, "--id", "1", "--distribution", "АСП", "--version", windowsRelease,
		"--sha256", string(sum), "--canary", windowsSite, "--cap", "1")
	require.NoError(t, err)
	var last *rollout.Rollout
	wait("the rollout", func() bool {
		out, err := r.fleet(ctx, "rollout", "status", "--json", "--dir", r.dir(), "--url", r.url)
		require.NoError(t, err)
		var all []*rollout.Rollout
		require.NoError(t, json.Unmarshal(out, &all))
		last = all[0]
		return last.Phase != rollout.Running
	})
	require.Equal(t, rollout.Done, last.Phase, last.Reason)
	require.Equal(t, rollout.Committed, last.Members[0].State)
	require.Equal(t, 1, last.Members[0].Attempts)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "end"), nil, 0o600))
	err = <-ended
	out, rerr := os.ReadFile(said.Name())
	require.NoError(t, rerr)
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "all 1 sites are healthy at version "+windowsRelease)
}
