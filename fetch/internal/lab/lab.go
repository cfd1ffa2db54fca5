// Package lab has what the tests of package fetch and of those below it share.
package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/version"
)

// SetupPath is the installer that most tests put on a server.
const SetupPath = "/asp/7.12.100/Setup.exe"

// Released is the time of that installer: long ago, so that it has settled.
var Released = time.Date(2019, 12, 4, 17, 0, 0, 0, time.UTC)

// Now is the time of tests that need one: long after Released.
var Now = time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)

// Finder returns a Finder whose clock stands at Now.
func Finder() fetch.Finder { return fetch.Finder{Now: func() time.Time { return Now }} }

// Soon makes retries quick.
var Soon = fetch.Retry{Attempts: 3, Interval: time.Millisecond, MaxInterval: 5 * time.Millisecond}

// Silence is how long tests of silent servers wait. Long enough for a busy
// machine to get everything else done in.
const Silence = time.Second

// Tests of real servers that stop answering: how long these may be silent, and
// by how much more a call may outlast that.
const (
	RealIdle  = time.Second
	RealGrace = time.Second
)

// Events collects what is observed.
type Events[E any] struct {
	mu  sync.Mutex
	all []E
}

// Observe is given to what is observed.
func (e *Events[E]) Observe(ev E) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// All returns the events that match, in order.
func (e *Events[E]) All(match func(E) bool) (out []E) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if match(ev) {
			out = append(out, ev)
		}
	}
	return out
}

// InMemory returns a directory in which syncing costs nothing, where there is
// one: for laws that do it thousands of times.
func InMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fetch-test-")
	if err != nil || runtime.GOOS == "windows" { // under Wine it is there, and open to everyone
		_ = os.RemoveAll(dir)
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Client returns a client of a scripted server.
func Client(s *fetchtest.Server) *ftp.Source {
	return &ftp.Source{Addr: s.Addr, User: s.User, Password: s.Password, Timeout: 20 * time.Second, Retry: Soon}
}

// Vendor starts an FTP server with installers in this process.
func Vendor(paths ...string) *fetchtest.Server {
	s, err := fetchtest.Listen()
	if err != nil {
		panic(err)
	}
	for _, path := range paths {
		s.Put(path, []byte("installer"), time.Date(2019, 12, 18, 17, 0, 0, 0, time.UTC))
	}
	return s
}

// Payload returns bytes that repeat nowhere.
func Payload(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

// Sum returns a SHA-256 in hexadecimal digits.
func Sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Latest finds the newest release of asp.
func Latest(t *testing.T, src fetch.Source) fetch.Release {
	t.Helper()
	rel, err := fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
	require.NoError(t, err)
	return rel
}

// NoneLeft waits until a server has no connection and no goroutine of the
// packages is left. It sees those of all tests that run, so that it is not
// for parallel ones.
func NoneLeft(t *testing.T, s *fetchtest.Server) {
	t.Helper()
	NoneLeftOn(t, s)
	require.Eventually(t, func() bool {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		for _, ours := range []string{"aspupdate/fetch.(", "fetch/ftp.(", "fetch/archive.(", "fetch/watch.(", "jlaffaye/ftp"} {
			if strings.Contains(stacks, ours) {
				return false
			}
		}
		return true
	}, 5*time.Second, 5*time.Millisecond, "goroutines left behind")
}

// NoneLeftOn waits until a server has no connection; tests that run at the same
// time may have theirs.
func NoneLeftOn(t *testing.T, s *fetchtest.Server) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Open() == 0 }, 5*time.Second, 5*time.Millisecond, "connections left open")
}

// Logins returns how often clients logged in.
func Logins(s *fetchtest.Server) (n int) {
	for _, c := range s.Commands() {
		if c == "PASS" {
			n++
		}
	}
	return n
}

// Replies makes a server answer commands, with or without their arguments.
// replies scripts commands by "VERB argument" or by verb alone.
func Replies(s *fetchtest.Server, to map[string]string) {
	s.OnCommand(func(verb, arg string) string {
		if r, ok := to[strings.TrimSpace(verb+" "+arg)]; ok {
			return r
		}
		return to[verb]
	})
}

// WriteTemp writes a file that ends with the test.
func WriteTemp(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}
