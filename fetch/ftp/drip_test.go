package ftp_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

// A slowConn brings few bytes at a time.
type slowConn struct {
	net.Conn
	bytes int
	every time.Duration
}

func (c slowConn) Read(p []byte) (int, error) {
	time.Sleep(c.every)
	return c.Conn.Read(p[:min(len(p), c.bytes)])
}

// A server that is never silent for long, and yet never comes to an end, is given up as a
// silent one is. One that is only slow is not.
func TestAServerThatDripsIsGivenUp(t *testing.T) {
	read := func(src fetch.Source) error {
		r, err := src.Open(t.Context(), lab.SetupPath, 0)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		return err
	}
	list := func(src fetch.Source) error {
		_, err := src.List(t.Context(), "/asp")
		return err
	}
	for name, c := range map[string]struct {
		drips int32 // the number of the connection
		bytes int
		run   func(fetch.Source) error
		fails bool
	}{
		"replies":          {1, 1, list, true},
		"a listing":        {2, 1, list, true},
		"a file":           {2, 1, read, true},
		"a slow file":      {2, 1 << 10, read, false},
		"a reader's pause": {0, 0, func(src fetch.Source) error { return read(paused{src}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, lab.Payload(40_000), lab.Released)
			src := lab.Client(s)
			src.Timeout, src.Retry.Attempts = lab.Silence, 1
			var made atomic.Int32
			src.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err == nil && made.Add(1) == c.drips {
					conn = slowConn{conn, c.bytes, lab.Silence / 20}
				}
				return conn, err
			}
			began := time.Now()
			err := c.run(src)
			if !c.fails {
				require.NoError(t, err)
				require.Greater(t, time.Since(began), lab.Silence, "it took longer than a server may be silent")
				return
			}
			require.ErrorContains(t, err, "timeout")
			require.Less(t, time.Since(began), 10*lab.Silence)
		})
	}
}

// paused is a source whose reader takes its time, as one does that may use only a part
// of the line.
type paused struct{ fetch.Source }

func (p paused) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	r, err := p.Source.Open(ctx, name, offset)
	if err != nil {
		return nil, err
	}
	return &pausedReader{ReadCloser: r}, nil
}

type pausedReader struct{ io.ReadCloser }

func (r *pausedReader) Read(p []byte) (int, error) {
	time.Sleep(lab.Silence / 5)
	return r.ReadCloser.Read(p[:min(len(p), 4<<10)])
}
