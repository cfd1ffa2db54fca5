// Package sighting remembers since when files on a server have been as they are,
// by this machine's clock: a server's clock and time zone prove nothing.
package sighting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
)

// Settle is how long a release must have been unchanged where a caller sets
// nothing else.
const Settle = 10 * time.Minute

// Brief is the longest time for which it is better to wait than to come again.
const Brief = 2 * time.Second

// A File is a variant of a release as it was seen: one file, or a directory.
type File struct {
	Key    string    `json:"-"` // where it is, without user and password
	Size   int64     `json:"size"`
	Time   time.Time `json:"time,omitzero"`   // the most exact one that the server has
	Listed time.Time `json:"listed,omitzero"` // as a listing has it
	Parts  string    `json:"parts,omitempty"` // of a directory: a hash of its files' paths, sizes and times
	Since  time.Time `json:"since"`           // of the first sighting as it is
}

// Same reports whether two sightings are of one upload.
func (f File) Same(g File) bool {
	return f.Size == g.Size && f.Time.Equal(g.Time) && f.Parts == g.Parts
}

// Parts returns the hash of a directory's files, which all adds one by one.
func Parts(all func(add func(path string, size int64, t time.Time))) string {
	h := sha256.New()
	all(func(path string, size int64, t time.Time) {
		_, _ = fmt.Fprintf(h, "%d %s %q\n", size, t.UTC().Format(time.RFC3339), path) // a hash has no errors
	})
	return hex.EncodeToString(h.Sum(nil))
}

// A Memory is a file of sightings. One that cannot be read counts as empty: what
// it had is seen again, and settles again.
type Memory struct {
	Path string
}

type memory struct {
	Format int              `json:"format"`
	Files  map[string]File  `json:"files"`
	Looks  map[string]Clock `json:"looks,omitempty"` // by directory
}

// A Clock is what the sightings of a directory say about the server's clock.
type Clock struct {
	Looked time.Time `json:"looked"` // when it was listed last
	// The server's clock is ahead of this machine's by Min to Max; both are zero
	// if that is not known. A time in its local zone counts as UTC.
	Min time.Duration `json:"ahead_min,omitempty"`
	Max time.Duration `json:"ahead_max,omitempty"`
}

const (
	format  = 1
	maxSize = 16 << 20 // bytes of the file
	zones   = 26 * time.Hour
)

// Read returns what was seen, by key.
func (m Memory) Read() map[string]File { return m.read().Files }

func (m Memory) read() memory {
	all := memory{Format: format}
	f, err := durable.Open(m.Path)
	if err == nil {
		defer func() { _ = f.Close() }()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(f, maxSize)); err == nil {
			err = json.Unmarshal(b, &all)
		}
	}
	if err != nil || all.Format != format {
		all = memory{Format: format}
	}
	if all.Files == nil {
		all.Files = map[string]File{}
	}
	if all.Looks == nil {
		all.Looks = map[string]Clock{}
	}
	return all
}

// See remembers sightings, and returns them with since when they have been as
// they are. What is remembered below dir and was not seen is forgotten, unless dir
// is empty. With an error the sightings are right, but not remembered.
func (m Memory) See(ctx context.Context, dir string, seen []File, now time.Time) ([]File, Clock, error) {
	now = now.UTC().Round(0)
	seen = slices.Clone(seen)
	unlock, err := m.lock(ctx)
	if unlock != nil {
		defer unlock()
	}
	all := m.read()
	before := maps.Clone(all.Files)
	if dir != "" {
		maps.DeleteFunc(all.Files, func(key string, _ File) bool { return strings.HasPrefix(key, dir) })
	}
	clock := all.Looks[dir]
	for i, f := range seen {
		was, known := before[f.Key]
		if f.Since = now; known && was.Same(f) && !was.Since.After(now) { // our own clock may have been set back
			f.Since = was.Since
		} else if !f.Time.IsZero() && !clock.Looked.IsZero() {
			clock.narrow(f.Time.Sub(now), f.Time.Sub(clock.Looked))
		}
		seen[i], all.Files[f.Key] = f, f
	}
	if dir != "" {
		clock.Looked = now
		all.Looks[dir] = clock
	}
	if err != nil {
		return seen, clock, err
	}
	b, err := json.Marshal(all)
	if err == nil {
		err = durable.WriteFile(m.Path, append(b, '\n'), 0o600)
	}
	return seen, clock, err
}

// narrow adds that the server's clock is ahead by low to high. Both ends come
// from one upload: it ended between two listings. A time that is days away was kept
// from another machine by the upload, and says nothing.
func (c *Clock) narrow(low, high time.Duration) {
	if low < -zones || high > zones || low > high {
		return
	}
	if low > c.Max || high < c.Min || c.Min == 0 && c.Max == 0 { // it was set, or nothing was known
		c.Min, c.Max = low, high
		return
	}
	c.Min, c.Max = max(c.Min, low), min(c.Max, high)
}

// String returns how far the server's clock is from this machine's, or "" if that
// is not known.
func (c Clock) String() string {
	if c.Min == 0 && c.Max == 0 {
		return ""
	}
	return fmt.Sprintf("%v to %v ahead of this machine's clock", c.Min.Round(time.Second), c.Max.Round(time.Second))
}

func (m Memory) lock(ctx context.Context) (unlock func(), err error) {
	if m.Path == "" {
		return nil, errors.New("no file")
	}
	if err := durable.MkdirAll(filepath.Dir(m.Path), 0o700); err != nil {
		return nil, err
	}
	l, err := lock.Exclusive(ctx, m.Path+".lock")
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}
