package ftp_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

// The kernel drops what asks for a connection to EPSV's port, as a firewall does that
// does not know EPSV, and lets PASV's through: one time-out in the life of the source.
func TestAKernelThatDropsEPSVsPort(t *testing.T) {
	t.Parallel()
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), lab.Released)
	lab.Replies(s, map[string]string{"EPSV": fmt.Sprintf("229 Entering (|||%d|)", deafPort(t))})
	src := &ftp.Source{Addr: s.Addr, Timeout: lab.Silence, Retry: fetch.Retry{Attempts: 1}}
	began := time.Now()
	_, err := src.List(t.Context(), "/asp/7.12.100")
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), lab.Silence/2, "it was dropped, not refused")
	for range 3 {
		kept, end := src.Keep()
		_, err = kept.List(t.Context(), "/asp/7.12.100")
		require.NoError(t, err)
		require.Equal(t, "x", lab.Read(t, src, lab.SetupPath, 0))
		end()
	}
	require.Equal(t, 1, count(s, "EPSV"))
}

// deafPort returns a port of loopback on which the kernel answers nothing: its queue is
// full, and no one takes connections from it.
func deafPort(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(fd, 0))
	at, err := unix.Getsockname(fd)
	require.NoError(t, err)
	port := at.(*unix.SockaddrInet4).Port
	for range 10 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), lab.Silence)
		if err != nil {
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout(), "%v", err)
			return port
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	require.FailNow(t, "the kernel goes on answering")
	return 0
}
