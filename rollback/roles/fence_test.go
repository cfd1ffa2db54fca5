package roles_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback/roles"
)

// A gate is a fence and an application whose state is a file, as that of a
// service or a database outlives a process.
type gate struct {
	file  string
	calls *[]string
	fails string // a call that fails
}

func (g gate) call(name string, do func() error) error {
	name += " " + filepath.Base(g.file)
	*g.calls = append(*g.calls, name)
	if name == g.fails {
		return errors.New(name + " fails")
	}
	return do()
}

func (g gate) Close(context.Context) error {
	return g.call("close", func() error { return os.WriteFile(g.file, nil, 0o600) })
}
func (g gate) Open(context.Context) error {
	return g.call("open", func() error { return os.RemoveAll(g.file) })
}
func (g gate) Stop(context.Context) error  { return g.call("stop", func() error { return nil }) }
func (g gate) Start(context.Context) error { return g.call("start", func() error { return nil }) }

func (g gate) closed(t *testing.T) bool {
	t.Helper()
	_, err := os.Stat(g.file)
	if err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	return err == nil
}

// gates returns gates of these names, and the calls that they will get.
func gates(t *testing.T, fails string, names ...string) (list []gate, calls *[]string) {
	t.Helper()
	dir := t.TempDir()
	calls = new([]string)
	for _, name := range names {
		list = append(list, gate{filepath.Join(dir, name), calls, fails})
	}
	return list, calls
}

func TestFenceClosesInOrderAndOpensInReverse(t *testing.T) {
	g, calls := gates(t, "", "entry", "service", "database")
	f := roles.Fence(g[0], g[1], g[2])
	require.NoError(t, f.Close(t.Context()))
	require.NoError(t, f.Open(t.Context()))
	require.Equal(t, []string{"close entry", "close service", "close database", "open database", "open service", "open entry"}, *calls)
}

// A process that closes the fence fails, or dies, in the middle. The next one
// opens all of it.
func TestFenceThatIsHalfClosedOpens(t *testing.T) {
	g, calls := gates(t, "close database", "entry", "service", "database", "other")
	f := roles.Fence(g[0], g[1], g[2], g[3])
	require.ErrorContains(t, f.Close(t.Context()), "close database fails")
	require.True(t, g[0].closed(t) && g[1].closed(t), "what is closed stays closed")
	*calls = nil
	require.NoError(t, roles.Fence(g[0], g[1], g[2], g[3]).Open(t.Context()), "by roles that closed nothing")
	require.Equal(t, []string{"open other", "open database", "open service", "open entry"}, *calls)
	require.False(t, g[0].closed(t) || g[1].closed(t))
}

func TestFenceStaysClosedWhileADatabaseIsClosed(t *testing.T) {
	g, calls := gates(t, "open database", "entry", "database")
	f := roles.Fence(g[0], g[1])
	require.NoError(t, f.Close(t.Context()))
	require.ErrorContains(t, f.Open(t.Context()), "open database fails")
	require.True(t, g[0].closed(t))
	require.NotContains(t, *calls, "open entry")
}

func TestEmptyFence(t *testing.T) {
	require.ErrorContains(t, roles.Fence().Close(t.Context()), "rollback.NoFence")
	require.NoError(t, roles.Fence().Open(t.Context()))
}

func TestOpenOnly(t *testing.T) {
	g, _ := gates(t, "", "database")
	f := roles.Fence(roles.OpenOnly(g[0]))
	require.NoError(t, f.Close(t.Context()))
	require.False(t, g[0].closed(t))
	require.NoError(t, g[0].Close(t.Context())) // as a crash during the snapshot leaves it
	require.NoError(t, f.Open(t.Context()))
	require.False(t, g[0].closed(t))
}

func TestApplicationStopsInOrderAndStartsInReverse(t *testing.T) {
	g, calls := gates(t, "", "pages", "server")
	a := roles.Application(g[0], g[1])
	require.NoError(t, a.Stop(t.Context()))
	require.NoError(t, a.Start(t.Context()))
	require.Equal(t, []string{"stop pages", "stop server", "start server", "start pages"}, *calls)

	g, calls = gates(t, "stop pages", "pages", "server")
	require.Error(t, roles.Application(g[0], g[1]).Stop(t.Context()))
	require.Equal(t, []string{"stop pages"}, *calls)
	g, calls = gates(t, "start server", "pages", "server")
	require.Error(t, roles.Application(g[0], g[1]).Start(t.Context()))
	require.Equal(t, []string{"start server"}, *calls)
}
