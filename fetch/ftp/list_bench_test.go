package ftp

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jlaffaye/ftp"
)

// BenchmarkParseLIST reads a directory of ten thousand releases as vsftpd lists
// it, beside the client library's own reader, which is reached by List alone.
func BenchmarkParseLIST(b *testing.B) {
	lines := make([]string, 10_000)
	for i := range lines {
		lines[i] = fmt.Sprintf("-rw-r--r--    1 ftp      ftp      %8d Dec 04 20:00 Setup_7.%02d.%d.exe", 70_000_000+i, i%99+1, 100+i)
	}
	body := strings.Join(lines, "\r\n") + "\r\n"
	b.Run("aspupdate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got := parseLIST(splitLines(body), goldenNow); len(got) != len(lines) || got[9_999].Size != 70_009_999 {
				b.Fatal(len(got))
			}
		}
	})
	b.Run("jlaffaye", func(b *testing.B) {
		conn, err := ftp.Dial("127.0.0.1:21", ftp.DialWithDialFunc(canned(body)))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if got, err := conn.List(""); err != nil || len(got) != len(lines) || got[9_999].Size != 70_009_999 {
				b.Fatal(len(got), err)
			}
		}
	})
}

// canned dials a server of a few words, and then data connections that return
// body. There is no network.
func canned(body string) func(network, addr string) (net.Conn, error) {
	dialed := false
	return func(string, string) (net.Conn, error) {
		c := &can{}
		if c.data = dialed; c.data {
			c.WriteString(body)
		} else {
			c.WriteString("220 ready\r\n")
		}
		dialed = true
		return c, nil
	}
}

type can struct {
	net.Conn
	bytes.Buffer
	data bool
}

func (c *can) Read(p []byte) (int, error) { return c.Buffer.Read(p) }
func (c *can) Close() error               { return nil }
func (c *can) RemoteAddr() net.Addr       { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (c *can) Write(p []byte) (int, error) {
	switch verb, _, _ := strings.Cut(string(bytes.TrimSpace(p)), " "); verb {
	case "EPSV":
		c.WriteString("229 there (|||20|)\r\n")
	case "LIST":
		c.WriteString("150 here it comes\r\n226 done\r\n")
	}
	return len(p), nil
}
