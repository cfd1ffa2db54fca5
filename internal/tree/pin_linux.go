package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/private"
)

// Pin is for a path that programs of others open by name: it makes sure that they have
// opened what was there. Where another account can rename on the way to it, the
// directories are watched, and release fails if a name on the way was taken away or given
// to something else. On Windows nothing can be renamed until release. A change that another
// machine makes on a network file system is not seen.
func Pin(path string) (release func() error, err error) {
	w := &pins{path: path, names: map[int]string{}}
	err = w.walk()
	switch {
	case w.file == nil: // no other account can rename anything
		return func() error { return nil }, err
	case err != nil:
		return nil, errors.Join(err, w.file.Close())
	}
	done := make(chan error, 1)
	go func() { done <- w.watch() }()
	return func() error {
		_ = w.file.SetReadDeadline(time.Now())
		err := errors.Join(<-done, w.read())
		return errors.Join(err, w.file.Close())
	}, nil
}

// pins watch the directories on a path.
type pins struct {
	path  string
	file  *os.File // nil: nothing is watched
	fd    int
	names map[int]string // by watch: the next name on the path
}

// walk watches a directory before it goes on to the next one: what is watched is the path
// as it was, or a change of it was seen.
func (w *pins) walk() error {
	dir, err := os.Open("/")
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	at := "/"
	for name := range strings.SplitSeq(strings.Trim(filepath.Clean(w.path), "/"), "/") {
		if private.Check(at) != nil {
			if err := w.add(dir, name); err != nil {
				return fmt.Errorf("watch %s, in which another account can rename: %w; give root the directory, or raise fs.inotify.max_user_instances if there are too many", at, err)
			}
		}
		at = filepath.Join(at, name)
		next, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, at)
		if err != nil {
			return err
		}
		_ = dir.Close()
		dir = next
	}
	return nil
}

// add watches a name in a directory.
func (w *pins) add(dir *os.File, name string) error {
	if w.file == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return os.NewSyscallError("inotify_init1", err)
		}
		w.fd, w.file = fd, os.NewFile(uintptr(fd), "inotify")
	}
	const changes = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO
	id, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(int(dir.Fd())), changes|unix.IN_ONLYDIR)
	if err != nil {
		return os.NewSyscallError("inotify_add_watch", err)
	}
	w.names[id] = name
	return nil
}

// watch reads events until the deadline: the system keeps a limited number of them.
func (w *pins) watch() error {
	b := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err == nil {
			err = w.judge(b[:n])
		}
		if err != nil {
			return err
		}
	}
}

// read reads the events that are left.
func (w *pins) read() error {
	b := make([]byte, 64<<10)
	for {
		switch n, err := unix.Read(w.fd, b); {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("read", err)
		default:
			if err := w.judge(b[:n]); err != nil {
				return err
			}
		}
	}
}

// judge fails if an event is of a name on the path, or if events were lost.
func (w *pins) judge(b []byte) error {
	for len(b) >= unix.SizeofInotifyEvent {
		id, mask := int(int32(binary.NativeEndian.Uint32(b))), binary.NativeEndian.Uint32(b[4:]) //nolint:gosec // as the system writes it
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if end > len(b) {
			break
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
		b = b[end:]
		switch {
		case mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0:
			return fmt.Errorf("too much happens on the way to %s to know what it has led to", w.path)
		case w.names[id] == name:
			return fmt.Errorf("%q was renamed, removed or replaced on the way to %s", name, w.path)
		}
	}
	return nil
}
