package realtest

import (
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// talk logs in and returns the reply code of each command.
func talk(t *testing.T, s Server, password string, commands ...string) []int {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	c := textproto.NewConn(conn)
	_, _, err = c.ReadResponse(220)
	require.NoError(t, err)
	var codes []int
	for _, command := range append([]string{"USER " + s.User, "PASS " + password}, commands...) {
		require.NoError(t, c.PrintfLine("%s", command))
		code, _, _ := c.ReadResponse(0)
		codes = append(codes, code)
	}
	return codes
}

func TestFTPServers(t *testing.T) {
	for _, m := range Makes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			file := filepath.Join(root, "file")
			require.NoError(t, os.WriteFile(file, []byte("x"), 0o644))
			s := FTP(t, m, root, Options{})
			require.Equal(t, []int{331, 530}, talk(t, s, "wrong"))

			codes := talk(t, s, s.Password, "TYPE I", "SIZE file", "DELE file", "MKD new", "RNFR file", "RNTO other", "SITE CHMOD 777 file")
			require.Equal(t, []int{331, 230, 200, 213}, codes[:4])
			for _, code := range codes[4:] {
				require.Condition(t, func() bool { return code >= 400 || code == 350 }, "%v", codes)
			}
			fi, err := os.Stat(file)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o644), fi.Mode())
			require.NoDirExists(t, filepath.Join(root, "new"))

			i := s.p.(*instance)
			session, err := net.Dial("tcp", s.Addr)
			require.NoError(t, err)
			defer func() { _ = session.Close() }()
			buf := make([]byte, 1<<10)
			_, err = session.Read(buf)
			require.NoError(t, err)
			pids := family(i.cmd.Process.Pid)
			require.Greater(t, len(pids), 1, "the session is seen")

			s.Stop()
			_, err = fmt.Fprint(session, "NOOP\r\n")
			require.NoError(t, err)
			require.NoError(t, session.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
			_, err = session.Read(buf)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			s.Continue()
			require.NoError(t, session.SetReadDeadline(time.Now().Add(20*time.Second)))
			_, err = session.Read(buf)
			require.NoError(t, err)

			s.Kill()
			_, err = session.Read(buf)
			require.Error(t, err)
			_, err = net.Dial("tcp", s.Addr)
			require.Error(t, err)
			require.Empty(t, family(pids[0]))
			s.Restart()
			require.Equal(t, []int{331, 230}, talk(t, s, s.Password))
		})
	}
}

func TestProFTPDTellsDigests(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), []byte("x"), 0o644))
	ask := []string{"TYPE I", "XSHA256 file", "HASH file"}
	s := FTP(t, ProFTPD, root, Options{Digest: true})
	require.Equal(t, []int{331, 230, 200, 250, 213}, talk(t, s, s.Password, ask...))
	s = FTP(t, ProFTPD, root, Options{})
	require.Equal(t, []int{331, 230, 200, 500, 500}, talk(t, s, s.Password, ask...))
}
