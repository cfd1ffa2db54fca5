package fetch

import (
	"context"
	"io"
	"path"
	"time"
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
func (e Entry) Text() string { return text(e.Name) }

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

// stat asks for one file, by way of its folder's listing if it must.
func stat(ctx context.Context, src Source, name string) (Entry, error) {
	if s, ok := src.(Stater); ok {
		return s.Stat(ctx, name)
	}
	return listed(ctx, src, name)
}

// listed asks for one file by way of its folder's listing.
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
	return Entry{}, &Error{Op: "stat", Name: name, Reason: ErrNotFound}
}

func locate(src Source, name string) string {
	if l, ok := src.(Locator); ok {
		name = l.URL(name)
	}
	return text(name) // a manifest and a journal hold UTF-8
}
