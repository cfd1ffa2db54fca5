package fetch

import (
	"context"
	"errors"
	"io"
	"path"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// Kind is what an [Entry] is.
type Kind uint8

// The kinds of entries.
const (
	KindFile Kind = iota
	KindDir
	// KindOther is a link, a device, a junction: never followed.
	KindOther
	// KindUnreadable is a line of a listing that could not be understood.
	// Its whole text is the entry's name, so that it is reported and not lost.
	KindUnreadable
)

// An Entry is a file or a directory as a server describes it. None of it may
// be trusted.
type Entry struct {
	Name string // as the server sent it, byte for byte; a single name, not a path
	Kind Kind
	Size int64     // bytes; negative if unknown
	Time time.Time // of the last change, UTC to the second; zero if unknown
}

// text returns the name in UTF-8.
func (e Entry) text() string { return names.Text(e.Name) }

// A Source is where releases come from. Paths are absolute, separated by
// slashes, and made of names exactly as List returned them.
//
// A Source is safe for concurrent use. Every method obeys its context while it
// waits, and retries what is temporary: an error means that it has given up.
// Errors are [*Error] values that wrap a sentinel where one fits.
type Source interface {
	// List returns the entries of a directory in any order, without "." and
	// "..". For a directory that does not exist it returns an error that wraps
	// [ErrNotFound], not an empty list.
	List(ctx context.Context, dir string) ([]Entry, error)

	// Open reads a file from the offset on. If the file does not exist, the
	// error wraps [ErrNotFound]; if the server can start only at 0, it
	// wraps [errors.ErrUnsupported].
	//
	// The context governs the reading too: canceling it ends a Read that
	// waits. After Read returned io.EOF, Close returns nil only if the
	// server confirmed that the transfer is complete. Close before that
	// returns at once, with an error.
	Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error)
}

// A Stater is a Source that can get size and time of one file more cheaply or
// more exactly than by listing its directory. If it cannot get both, the
// error may wrap [errors.ErrUnsupported]: the Entry has what it could get, its Size is
// negative or its Time zero where it could not, and a listing has the rest.
type Stater interface {
	Stat(ctx context.Context, path string) (Entry, error)
}

// A Locator is a Source that can name a file for people and manifests: a URL
// without user or password.
type Locator interface {
	URL(path string) string
}

// A Hasher is a Source whose server can compute the SHA-256 of a file. It
// shows whether a transfer kept the file whole; it authenticates nothing.
type Hasher interface {
	// Hash returns the SHA-256 of a whole file in lower-case hexadecimal
	// digits. If the server does not compute it, the error wraps
	// [errors.ErrUnsupported]; if the file does not exist, it wraps
	// [ErrNotFound].
	Hash(ctx context.Context, path string) (string, error)
}

// A Keeper is a Source that can keep a connection open from one operation to
// the next.
type Keeper interface {
	// Keep returns a Source for the same server that may keep a connection
	// open. closeIdle closes the connection if no operation uses it; the
	// Source stays usable, and closeIdle can be called again.
	Keep() (kept Source, closeIdle func())
}

// Keep returns what [Keeper.Keep] returns, or src itself if it is not a Keeper.
func Keep(src Source) (kept Source, closeIdle func()) {
	if k, ok := src.(Keeper); ok {
		return k.Keep()
	}
	return src, func() {}
}

// stat returns size and time of one file, by Stat if src is a [Stater]. What that does not
// return comes from the file's line in a listing, which listed returns.
func stat(ctx context.Context, src Source, name string, listed func() (Entry, error)) (Entry, error) {
	e := Entry{Name: path.Base(name), Size: -1}
	if s, ok := src.(Stater); ok {
		var err error
		if e, err = s.Stat(ctx, name); !errors.Is(err, errors.ErrUnsupported) {
			return e, err
		}
	}
	l, err := listed()
	if e.Size < 0 {
		e.Size = l.Size
	}
	if e.Time.IsZero() {
		e.Time = l.Time
	}
	return e, err
}

// listed returns what the listing of a file's directory has about it.
func listed(ctx context.Context, src Source, name string) (Entry, error) {
	entries, err := src.List(ctx, path.Dir(name))
	if err != nil {
		return Entry{}, err
	}
	for _, e := range entries {
		if e.Name == path.Base(name) && e.Kind == KindFile {
			return e, nil
		}
	}
	return Entry{}, &Error{Op: "stat", Subject: name, Err: ErrNotFound}
}

// Locate returns the name of a file for people, in UTF-8: from [Locator] if src
// is one, else its path.
func Locate(src Source, name string) string {
	if l, ok := src.(Locator); ok {
		name = l.URL(name)
	}
	return names.Text(name) // a manifest and a journal hold UTF-8
}
