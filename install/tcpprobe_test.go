package install

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTCPProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	asked := 0
	then := ProbeFunc(func(context.Context) (string, error) { asked++; return "7.13.100", nil })
	p := TCPProbe{Addr: l.Addr().String(), Then: then}

	got, err := p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)
	require.Equal(t, 1, asked)
	got, err = TCPProbe{Addr: p.Addr, Then: p}.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got, "several ports")

	require.NoError(t, l.Close())
	asked = 0
	_, err = p.Version(t.Context())
	require.ErrorContains(t, err, "cannot connect to "+p.Addr)
	require.NotErrorIs(t, err, ErrFailed, "R12: a port that is closed now may open yet")
	require.Zero(t, asked, "no version is asked for where nothing listens")

	for _, bad := range []TCPProbe{{Addr: p.Addr}, {Then: then}, {Addr: "127.0.0.1", Then: then}, {Addr: ":5432", Then: then}} {
		_, err = bad.Version(t.Context())
		require.ErrorIs(t, err, ErrFailed, "no wait mends it")
	}
}

// A port that never answers does not block.
func TestTCPProbeObservesItsTimeouts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	then := ProbeFunc(func(context.Context) (string, error) { t.Error("asked"); return "", nil })
	_, err := TCPProbe{Addr: "127.0.0.1:9", Then: then}.Version(ctx)
	require.ErrorContains(t, err, "cannot connect to")
	// An address for documentation, which does not answer.
	begun := time.Now()
	_, err = TCPProbe{Addr: "192.0.2.1:5432", Then: then, timeout: 50 * time.Millisecond}.Version(t.Context())
	require.ErrorContains(t, err, "cannot connect to")
	require.Less(t, time.Since(begun), 5*time.Second)
}
