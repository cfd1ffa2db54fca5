package site

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pool gives IIS an application pool, and returns its role and its directory in the fake.
func (f *fakeIIS) pool(t *testing.T, name, autoStart, state string) (iisPool, string) {
	t.Helper()
	dir := filepath.Join(f.dir, "pools", name)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for file, text := range map[string]string{"autoStart": autoStart, "state": state} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600))
	}
	c := f.iisConfig
	c.Pools = []string{name}
	require.Empty(t, c.check())
	pools := (&Site{Config: &Config{State: filepath.Join(f.dir, "state"), Application: applicationConfig{IIS: c}}}).pools(false)
	require.Len(t, pools, 1)
	return pools[0], dir
}

// poolIs fails unless the pool has this autoStart and this state.
func poolIs(t *testing.T, dir, want string) {
	t.Helper()
	var have []string
	for _, file := range []string{"autoStart", "state"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		have = append(have, strings.TrimSpace(string(text)))
	}
	require.Equal(t, want, strings.Join(have, " "))
}

func TestIISPoolComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for _, was := range []string{"true Started", "false Started", "true Stopped", "false Stopped"} {
		t.Run(was, func(t *testing.T) {
			t.Parallel()
			autoStart, state, _ := strings.Cut(was, " ")
			p, dir := newIIS(t).pool(t, "АСП pool", autoStart, state)
			for range 2 { // also after a crash
				require.NoError(t, p.Stop(t.Context()))
				poolIs(t, dir, "false Stopped")
				require.NoFileExists(t, filepath.Join(dir, "process"), "its last process has ended")
				stopped, err := p.Closed(t.Context())
				require.NoError(t, err)
				require.True(t, stopped)
			}
			require.NoError(t, p.Start(t.Context()))
			poolIs(t, dir, was)
			require.NoFileExists(t, p.found)
		})
	}
}

// A first installation makes the pool, and then it was never stopped.
func TestIISPoolThatDoesNotExistYet(t *testing.T) {
	f := newIIS(t)
	p, dir := f.pool(t, "asp", "true", "Stopped")
	require.NoError(t, os.Rename(dir, dir+"-later"))
	require.ErrorContains(t, p.Stop(t.Context()), `IIS has no application pool "asp"`)
	p.first = true
	require.NoError(t, p.Stop(t.Context()))
	require.NoError(t, os.Rename(dir+"-later", dir))
	require.NoError(t, p.Start(t.Context()))
	poolIs(t, dir, "true Started")
}

// Every command of stopping and starting fails once, as when the process is killed before it.
func TestIISPoolAfterAFailureOfAnyCommand(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 14; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			f := newIIS(t)
			p, dir := f.pool(t, "asp", "true", "Started")
			require.NoError(t, os.Remove(filepath.Join(f.dir, "asked")))
			fail := filepath.Join(f.dir, fmt.Sprintf("fail-%d", n))
			require.NoError(t, os.WriteFile(fail, nil, 0o600))
			err := p.Stop(t.Context())
			if err == nil {
				err = p.Start(t.Context())
			}
			require.NoError(t, os.Remove(fail))
			asked, rerr := os.ReadFile(filepath.Join(f.dir, "asked"))
			require.NoError(t, rerr)
			if n <= strings.Count(string(asked), "\n") {
				require.ErrorContains(t, err, "Access denied")
			} else {
				require.Greater(t, n, 12, "too few commands")
				require.NoError(t, err)
			}
			if n%2 == 0 {
				require.NoError(t, p.Stop(t.Context()))
				poolIs(t, dir, "false Stopped")
			}
			require.NoError(t, p.Start(t.Context()))
			poolIs(t, dir, "true Started")
		})
	}
}

func TestIISPoolThatDoesNotStop(t *testing.T) {
	t.Parallel()
	p, dir := newIIS(t).pool(t, "asp", "false", "Stopped")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "process", "stays"), 0o700))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := p.Stop(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "the application pool asp is stopped, and these processes of it have not ended: 4711")
}

func TestIISPoolAnswersThatAreUnknown(t *testing.T) {
	p, dir := newIIS(t).pool(t, "asp", "perhaps", "Started")
	require.ErrorContains(t, p.Stop(t.Context()), `autoStart of the application pool asp is "perhaps"`)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "autoStart"), nil, 0o600))
	require.ErrorContains(t, p.Stop(t.Context()), "the autoStart of the application pool asp is not known")
	poolIs(t, dir, " Started")
	require.NoError(t, os.MkdirAll(filepath.Dir(p.found), 0o700))
	require.NoError(t, os.WriteFile(p.found, []byte("{"), 0o600))
	require.ErrorContains(t, p.Start(t.Context()), "remove "+p.found)

	for _, name := range []string{"", "/x", "-x", `a"b`, "a*", "a\nb"} {
		c := iisConfig{Site: "asp", Pools: []string{name}}
		require.ErrorContains(t, c.check()[0], fmt.Sprintf("application.iis.pools has %q", name))
	}
	require.ErrorContains(t, (&iisConfig{Site: "asp", Pools: []string{"asp", "ASP"}}).check()[0], "twice")
	require.Empty(t, (&iisConfig{Pools: []string{"asp"}}).check(), "another fence may keep users out")
}
