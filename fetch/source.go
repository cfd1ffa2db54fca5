package fetch

import (
	"context"
	"io"
	"path"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// Kind says what an [Entry] is.
type Kind uint8

// The kinds of entries.
const (
	KindFile Kind = iota
	KindFolder
	// KindOther is a link, a device, a junction: never followed.
	KindOther
	// KindUnreadable is a line of a listing that could not be understood.
	// Its whole text is the entry's name, so that it can be reported rather
	// than lost.
	KindUnreadable
)

// An Entry is what a server tells of a file or a folder. Nothing of it is
// to be trusted.
type Entry struct {
	Name string // as the server sent it, byte for byte; a single name, not a path
	Kind Kind
	Size int64     // bytes; negative where the server does not tell
	Time time.Time // of the last change, UTC to the second; zero where the server does not tell
}

// Text returns the entry's name for people and for file systems: as it is if
// it is valid UTF-8, else decoded from CP1251.
func (e Entry) Text() string { return names.Text(e.Name) }

// A Source is where releases come from. Paths are absolute, separated by
// slashes, and made of names exactly as List returned them.
//
// A Source may be used by several goroutines at once. Every method obeys its
// context while it waits, and retries by itself what is temporary: an error
// means that it has given up. Errors are [*Error] values with a Reason where
// one fits.
type Source interface {
	// List returns the entries of a folder in any order, without "." and
	// "..". A folder that does not exist is an error that wraps
	// [ErrNotFound], not an empty list.
	List(ctx context.Context, dir string) ([]Entry, error)

	// Open reads a file from the offset on. A file that does not exist is an
	// error that wraps [ErrNotFound]; a server that starts nowhere but at 0 is
	// one that wraps [errors.ErrUnsupported].
	//
	// The context governs the reading too: canceling it ends a Read that
	// waits. After Read returned io.EOF, Close returns nil only if the
	// server confirmed that the transfer is complete. Close before that
	// returns at once, and an error.
	Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error)
}

// A Stater is a Source that can tell size and time of one file more cheaply
// or more exactly than by listing its folder.
type Stater interface {
	Stat(ctx context.Context, path string) (Entry, error)
}

// A Locator is a Source that can name a file for people and manifests: a URL
// without user or password.
type Locator interface {
	URL(path string) string
}

// A Hasher is a Source whose server can compute the SHA-256 of a file that
// lies on it. It tells whether a transfer kept the file whole; it vouches
// for nobody.
type Hasher interface {
	// Hash returns the SHA-256 of a whole file in lower-case hexadecimal
	// digits. A server that does not compute it is an error that wraps
	// [errors.ErrUnsupported]; a file that does not exist is one that wraps
	// [ErrNotFound].
	Hash(ctx context.Context, path string) (string, error)
}

// A Keeper is a Source that can keep a connection open from one operation to
// the next.
type Keeper interface {
	// Keep returns a Source for the same server that may keep a connection
	// open. closeIdle closes the connection if no operation uses it; the
	// Source can be used on, and closeIdle called again.
	Keep() (kept Source, closeIdle func())
}

// Keep returns what [Keeper.Keep] returns, or src itself if it keeps nothing.
func Keep(src Source) (kept Source, closeIdle func()) {
	if k, ok := src.(Keeper); ok {
		return k.Keep()
	}
	return src, func() {}
}

// Stat asks for size and time of one file: by [Stater] if src is one, else by
// listing the file's folder.
func Stat(ctx context.Context, src Source, name string) (Entry, error) {
	if s, ok := src.(Stater); ok {
		return s.Stat(ctx, name)
	}
	entries, err := src.List(ctx, path.Dir(name))
	if err != nil {
		return Entry{}, err
	}
	for _, e := range entries {
		if e.Name == path.Base(name) && e.Kind == KindFile {
			return e, nil
		}
	}
	return Entry{}, &Error{Op: "stat", Name: name, Reason: ErrNotFound}
}

// Locate returns what people call a file on the server, in UTF-8: by [Locator]
// if src is one, else its path.
func Locate(src Source, name string) string {
	if l, ok := src.(Locator); ok {
		name = l.URL(name)
	}
	return names.Text(name) // a manifest and a journal hold UTF-8
}
