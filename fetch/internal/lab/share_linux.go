package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The requests of the kernel's protocol for file systems of programs (FUSE).
const (
	ShareLookup  uint32 = 1
	shareForget  uint32 = 2
	ShareGetattr uint32 = 3
	ShareOpen    uint32 = 14
	ShareRead    uint32 = 15
	shareRelease uint32 = 18
	shareFlush   uint32 = 25
	shareInit    uint32 = 26
	ShareOpendir uint32 = 27
	ShareReaddir uint32 = 28
	shareReldir  uint32 = 29
	shareIntr    uint32 = 36
	shareForgets uint32 = 42
)

// A Share is a mounted file system that stops answering, as a network share
// does whose server is gone: no signal and no deadline ends what waits for it. Or it
// is a stick that is pulled out.
type Share struct {
	Dir string

	fd    int
	nodes []shareNode // by number, from 1 on

	mu     sync.Mutex
	stopOn uint32
	after  int
	broken bool // it fails then, and does not hang
	slow   time.Duration
}

type shareNode struct {
	name     string
	data     []byte
	dir      bool
	children []int
}

// NewShare mounts a share with files, by path. It needs root and ends with the test.
func NewShare(t *testing.T, files map[string][]byte) *Share {
	t.Helper()
	s := &Share{Dir: t.TempDir(), nodes: []shareNode{{}, {dir: true}}}
	for name, data := range files {
		s.put(name, data)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		realtest.Skip(t, "a share that hangs needs /dev/fuse: %v", err)
	}
	s.fd = fd
	if err := unix.Mount("aspupdate", s.Dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, os.Getuid(), os.Getgid())); err != nil {
		_ = unix.Close(fd)
		realtest.Skip(t, "a share that hangs needs root: %v", err)
	}
	var done sync.WaitGroup
	done.Go(s.serve)
	t.Cleanup(func() {
		require.NoError(t, unix.Unmount(s.Dir, unix.MNT_FORCE|unix.MNT_DETACH)) // what waits fails now
		done.Wait()
		_ = unix.Close(fd)
	})
	for name := range files {
		s.settle(t, name)
		break
	}
	return s
}

// settle has the kernel ask once, before anything else does, whether the share
// supports poll. Go asks when it opens a file, in a call for which its scheduler
// frees no processor: if all waited in it, none would be left to answer.
func (s *Share) settle(t *testing.T, name string) {
	t.Helper()
	fd, err := unix.Open(filepath.Join(s.Dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Close(fd))
}

// Hang lets the share answer so many more requests of a kind, and then no more of
// these.
func (s *Share) Hang(kind uint32, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopOn, s.after = kind, after
}

// PullOut lets the share answer so many more requests of a kind, and then fail
// whatever is asked, as the system does for a stick that is pulled out.
func (s *Share) PullOut(kind uint32, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopOn, s.after, s.broken = kind, after, true
}

// SlowListing lets each request for some names of a directory take that long.
func (s *Share) SlowListing(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = d
}

// stopped reports whether a request is one that fails, or is never answered.
func (s *Share) stopped(kind uint32) (fails, hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == ShareReaddir {
		time.Sleep(s.slow)
	}
	if kind == s.stopOn {
		s.after--
	} else if !s.broken {
		return false, false
	}
	return s.broken && s.after < 0, !s.broken && s.after < 0
}

func (s *Share) put(name string, data []byte) {
	at := 1
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		i := s.child(at, part)
		if i == 0 {
			i = len(s.nodes)
			s.nodes = append(s.nodes, shareNode{name: part, dir: true})
			s.nodes[at].children = append(s.nodes[at].children, i)
		}
		at = i
	}
	s.nodes[at].dir, s.nodes[at].data = false, data
}

func (s *Share) child(dir int, name string) int {
	for _, i := range s.nodes[dir].children {
		if s.nodes[i].name == name {
			return i
		}
	}
	return 0
}

func (s *Share) serve() {
	buf := make([]byte, 1<<20)
	for {
		n, err := unix.Read(s.fd, buf)
		if err == unix.EINTR || err == unix.ENOENT || err == unix.EAGAIN {
			continue
		}
		if err != nil { // unmounted
			return
		}
		const header = 40
		kind, unique, node := binary.LittleEndian.Uint32(buf[4:]), binary.LittleEndian.Uint64(buf[8:]), int(binary.LittleEndian.Uint64(buf[16:]))
		if kind == shareForget || kind == shareForgets || kind == shareIntr {
			continue
		}
		fails, hangs := s.stopped(kind)
		if hangs {
			continue
		}
		body, errno := s.answer(kind, node, slices.Clone(buf[header:n]))
		if fails {
			body, errno = nil, unix.EIO
		}
		out := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
		out = binary.LittleEndian.AppendUint32(out, uint32(-int32(errno)))
		out = binary.LittleEndian.AppendUint64(out, unique)
		_, _ = unix.Write(s.fd, append(out, body...))
	}
}

func (s *Share) answer(kind uint32, node int, in []byte) ([]byte, unix.Errno) {
	le := binary.LittleEndian
	switch kind {
	case shareInit:
		out := make([]byte, 64)
		le.PutUint32(out, 7)
		le.PutUint32(out[4:], 31)
		le.PutUint32(out[20:], 1<<16) // the most that is written at once
		return out, 0
	case ShareLookup:
		i := s.child(node, string(bytes.TrimRight(in, "\x00")))
		if i == 0 {
			return nil, unix.ENOENT
		}
		out := make([]byte, 40)
		le.PutUint64(out, uint64(i))
		return append(out, s.attributes(i)...), 0
	case ShareGetattr:
		return append(make([]byte, 16), s.attributes(node)...), 0
	case ShareOpen, ShareOpendir:
		out := make([]byte, 16)
		out[8] = 1 // every read is a request
		return out, 0
	case ShareRead:
		data := s.nodes[node].data
		from := min(le.Uint64(in[8:]), uint64(len(data)))
		return data[from:min(from+uint64(le.Uint32(in[16:])), uint64(len(data)))], 0
	case ShareReaddir:
		return s.names(node, int(le.Uint64(in[8:])), int(le.Uint32(in[16:]))), 0
	case shareRelease, shareReldir, shareFlush:
		return nil, 0
	}
	return nil, unix.ENOSYS
}

func (s *Share) names(node, from, most int) (out []byte) {
	le := binary.LittleEndian
	for n, i := range s.nodes[node].children[min(from, len(s.nodes[node].children)):] {
		name := s.nodes[i].name
		if len(out)+len(name)+32 > most {
			break
		}
		out = le.AppendUint64(out, uint64(i))
		out = le.AppendUint64(out, uint64(from+n+1))
		out = le.AppendUint32(out, uint32(len(name)))
		out = le.AppendUint32(out, 0)
		out = append(out, name...)
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
	}
	return out
}

func (s *Share) attributes(node int) []byte {
	le := binary.LittleEndian
	mode, size := uint32(unix.S_IFREG|0o600), uint64(len(s.nodes[node].data))
	if s.nodes[node].dir {
		mode = unix.S_IFDIR | 0o700
	}
	out := make([]byte, 0, 88)
	for _, v := range []uint64{uint64(node), size, size / 512, 0, uint64(Released.Unix()), 0} {
		out = le.AppendUint64(out, v)
	}
	for _, v := range []uint32{0, 0, 0, mode, 1, uint32(os.Getuid()), uint32(os.Getgid()), 0, 4096, 0} {
		out = le.AppendUint32(out, v)
	}
	return out
}
