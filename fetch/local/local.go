// Package local reads releases from a directory of this machine: a stick, or the
// share of another machine that is mounted here. [Source] is a fetch.Source.
//
// What is in the directory is trusted no more than a server: names that mean
// something to a file system are refused by package fetch, links are never
// followed out of the directory, and a share that does not answer ends an
// operation after a timeout.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/share"
)

// A Source is a [fetch.Source] over a directory. Only Dir is required. It keeps
// nothing open between two operations, so that a stick can be pulled out.
type Source struct {
	Dir string // what it has is below "/" of the source

	// Timeout is how long the system may take for one operation, one Read, or a
	// thousand names of a directory. A share that hangs cannot be interrupted: what
	// waits for it is left behind.
	// Zero means 30 seconds.
	Timeout time.Duration
}

var (
	_ fetch.Source  = (*Source)(nil)
	_ fetch.Stater  = (*Source)(nil)
	_ fetch.Locator = (*Source)(nil)
)

// URL returns the URL of a path in the directory.
func (s *Source) URL(name string) string {
	u := url.URL{Scheme: "file", Path: path.Join("/", filepath.ToSlash(s.Dir), path.Join("/", name))}
	return u.String()
}

// List lists a directory.
func (s *Source) List(ctx context.Context, dir string) ([]fetch.Entry, error) {
	infos, err := share.ReadDir(ctx, s.timeout(), share.MaxNames, func() (*os.File, error) { return s.open(dir) })
	var entries []fetch.Entry
	for _, fi := range infos {
		entries = append(entries, entry(fi))
	}
	return entries, s.explain(ctx, "list", dir, err)
}

// Stat returns size and time of one file.
func (s *Source) Stat(ctx context.Context, name string) (fetch.Entry, error) {
	e, err := share.Within(ctx, s.timeout(), func() (fetch.Entry, error) {
		root, err := s.root()
		if err != nil {
			return fetch.Entry{}, err
		}
		defer func() { _ = root.Close() }()
		fi, err := root.Lstat(below(name))
		if err == nil && !fi.Mode().IsRegular() {
			err = errNoFile
		}
		if err != nil {
			return fetch.Entry{}, err
		}
		return entry(fi), nil
	})
	return e, s.explain(ctx, "stat", name, err)
}

// Open reads a file from an offset on.
func (s *Source) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	r, err := share.Within(ctx, s.timeout(), func() (*reader, error) {
		f, err := s.openFile(name)
		if err != nil {
			return nil, err
		}
		fi, err := f.Stat()
		if err == nil {
			_, err = f.Seek(max(offset, 0), io.SeekStart)
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return &reader{ctx: ctx, s: s, name: name, f: f, size: fi.Size(), at: max(offset, 0), r: share.Reader(ctx, s.timeout(), f)}, nil
	})
	if err != nil {
		return nil, s.explain(ctx, "open", name, err)
	}
	return r, nil
}

func (s *Source) timeout() time.Duration { return cmp.Or(s.Timeout, share.Timeout) }

// errGone means that the directory of the source is not there.
var (
	errGone   = errors.New("the directory is not there")
	errNoFile = errors.New("not a regular file")
	errNoDir  = errors.New("not a directory")
)

// root opens the directory. No name leaves it, whatever links are in it.
func (s *Source) root() (*os.Root, error) {
	if s.Dir == "" {
		return nil, errors.New("the source has no directory: set Source.Dir")
	}
	root, err := os.OpenRoot(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errGone, err)
	}
	return root, err
}

// open opens a directory.
func (s *Source) open(dir string) (*os.File, error) {
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	switch fi, err := root.Lstat(below(dir)); {
	case err != nil:
		return nil, err
	case !fi.IsDir():
		return nil, errNoDir
	}
	return root.Open(below(dir))
}

// openFile opens a regular file. A pipe would wait for a writer.
func (s *Source) openFile(name string) (*os.File, error) {
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	fi, err := root.Lstat(below(name))
	if err == nil && !fi.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		return nil, err
	}
	f, err := root.Open(below(name))
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(fi, now) {
		_ = f.Close()
		return nil, errNoFile
	}
	return f, nil
}

// below returns a path of the source as one below the directory.
func below(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	return filepath.FromSlash(cmp.Or(name, "."))
}

func entry(fi fs.FileInfo) fetch.Entry {
	e := fetch.Entry{Name: fi.Name(), Kind: fetch.KindOther, Size: -1, Time: fi.ModTime().UTC().Truncate(time.Second)}
	switch {
	case fi.IsDir():
		e.Kind = fetch.KindDir
	case fi.Mode().IsRegular():
		e.Kind, e.Size = fetch.KindFile, fi.Size()
	}
	return e
}

// explain makes a *fetch.Error of an error.
func (s *Source) explain(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	e := &fetch.Error{Op: op, Subject: s.URL(name), Err: err}
	cause := errors.New(names.Show(err.Error()))
	switch {
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
	case errors.Is(err, errGone):
		e.Err, e.Next = fmt.Errorf("%w: %w", fetch.ErrUnreachable, cause), "connect the stick or the share, and check the directory"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNoFile), errors.Is(err, errNoDir):
		e.Err = fmt.Errorf("%w: %w", fetch.ErrNotFound, cause)
	case errors.Is(err, fs.ErrPermission):
		e.Next = "let this account read it"
	default:
		e.Err, e.Temporary, e.Next = fmt.Errorf("%w: %w", fetch.ErrUnreachable, cause), true, "check the stick or the share"
	}
	return e
}

// A reader is an open file.
type reader struct {
	ctx  context.Context //nolint:containedctx // Open's: it governs the reading too
	s    *Source
	name string
	f    *os.File
	size int64 // when it was opened
	at   int64
	end  error
	r    io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.end != nil || len(p) == 0 {
		return 0, r.end
	}
	n, err := r.r.Read(p)
	r.at += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		r.end = io.EOF
	case err != nil:
		r.end = r.s.explain(r.ctx, "read", r.name, err)
	}
	return n, r.end
}

// Close returns nil only if all of the file was read, and it has not changed its
// size meanwhile.
func (r *reader) Close() error {
	defer share.Close(r.s.timeout(), r.f.Close)
	fail := func(cause error) error {
		return &fetch.Error{Op: "read", Subject: r.s.URL(r.name), Err: cause, Temporary: true}
	}
	if !errors.Is(r.end, io.EOF) {
		return fail(errors.New("closed before the end"))
	}
	fi, err := share.Within(r.ctx, r.s.timeout(), r.f.Stat)
	switch {
	case err != nil:
		return r.s.explain(r.ctx, "read", r.name, err)
	case fi.Size() != r.size || r.at < r.size:
		return fail(fmt.Errorf("%w: it had %d bytes when it was opened, %d were read, and it has %d now", fetch.ErrUnreachable, r.size, r.at, fi.Size()))
	}
	return nil
}
