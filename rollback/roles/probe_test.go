package roles_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

func TestProbeOfAnEmptyMachine(t *testing.T) {
	installed := filepath.Join(t.TempDir(), "asp.exe")
	refused := errors.New("connection refused")
	p := roles.Probe{Probe: install.ProbeFunc(func(context.Context) (string, error) { return "", refused })}
	_, err := p.Version(t.Context())
	require.ErrorIs(t, err, refused, "a server that does not answer does not prove that nothing is installed")
	p.Installed = installed
	got, err := p.Version(t.Context())
	require.NoError(t, err)
	require.Empty(t, got)
	require.NoError(t, os.WriteFile(installed, nil, 0o600))
	_, err = p.Version(t.Context())
	require.ErrorIs(t, err, refused, "it is installed and not healthy")
	p.Probe = install.ProbeFunc(func(context.Context) (string, error) { return "7.13.100", nil })
	got, err = p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", string(got))
}

// R12: errors and refused logins are a restructuring, which is waited for.
func TestR12ProbeAwaitsTheRestructuring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		begun := time.Now()
		var events []install.Event
		p := roles.Probe{
			Interval: time.Minute,
			Observe:  func(e install.Event) { events = append(events, e) },
			Probe: install.ProbeFunc(func(context.Context) (string, error) {
				asked = append(asked, time.Since(begun))
				switch len(asked) {
				case 1:
					return "", errors.New("system error")
				case 2:
					return "7.12.100", nil
				}
				return "7.13.100", nil
			}),
		}
		require.NoError(t, p.Await(t.Context(), "7.13.100"))
		require.Equal(t, []time.Duration{0, time.Minute, 2 * time.Minute}, asked)
		require.NotEmpty(t, events)
	})
}

// The deadline of the update is the only one, also if it is longer than the
// default of package install.
func TestR11ProbeWaitsAsLongAsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := roles.Probe{Interval: time.Minute, Probe: install.ProbeFunc(func(context.Context) (string, error) { return "", errors.New("system error") })}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
		defer cancel()
		require.ErrorIs(t, p.Await(ctx, "7.13.100"), install.ErrTimeout)
		require.Equal(t, 5*time.Hour, time.Since(begun))
		begun = time.Now()
		require.ErrorIs(t, p.Await(t.Context(), "7.13.100"), install.ErrTimeout)
		require.Equal(t, 3*time.Hour, time.Since(begun))
	})
}
