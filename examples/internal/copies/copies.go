// Package copies keeps encrypted copies of directories in a second place: another
// disk, or a share that is mounted. Only the public keys of those who may open
// them are on this machine, so that it cannot read what it has copied.
//
// A copy is a tar archive in the format of age (age-encryption.org): people open it
// with "age --decrypt" and "tar", without this program. Age does not say who encrypted a file.
// Therefore the list of the copies, [ContentsFile], has the SHA-256 of each and is
// signed by a key of this machine: who can write to the place can destroy copies, and not
// have others restored instead, by those who know the key that verifies the list.
//
// A copy is written under a hidden name, synced, read back and compared, and only
// then gets its name. What is interrupted is done again. Copies and lists
// are made by one process at a time.
//
// Others may write to the place while this process does, with more rights than they have: new
// files get names that no one can foresee, no link is followed, and nothing but a regular file
// is read.
package copies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

var (
	// ErrPlace means that the second place is away, read only, or not what it was.
	ErrPlace = errors.New("the second place cannot be used")
	// ErrDamaged means that a copy is not what was copied: changed, cut short, or missing.
	ErrDamaged = errors.New("the copy is damaged")
	// ErrKey means that a key does not open a copy, or that another one has signed the list.
	ErrKey = errors.New("wrong key")
)

// The names of files in the place, besides the copies.
const (
	ContentsFile  = "contents.json"
	signatureFile = "contents.sig"
	manualFile    = "README.txt"
	tempPrefix    = ".copying-"
)

// A Copy is one encrypted copy.
type Copy struct {
	File   string    `json:"file"`   // its name in the place
	Kind   string    `json:"kind"`   // snapshot, installer, configuration or roles
	Name   string    `json:"name"`   // of what: retention counts the copies of one kind and name
	ID     string    `json:"id"`     // which of that name it is; a copy with an ID is made once
	Of     time.Time `json:"of"`     // how old what was copied is, UTC
	Copied time.Time `json:"copied"` // UTC
	Bytes  int64     `json:"bytes"`  // of the file
	SHA256 string    `json:"sha256"` // of the file

	Ref      string            `json:"ref,omitempty"`      // of a snapshot: the reference with the hash of its manifest
	Versions map[string]string `json:"versions,omitempty"` // of a snapshot: what was installed, by distribution
	Path     string            `json:"path,omitempty"`     // where it is unpacked to, slash-separated
}

// A Source is what is to be copied.
type Source struct {
	Copy                    // Kind, Name, ID, Of and Ref, Versions, Path
	Files map[string]string // by the path in the archive: a file or a directory with all in it
	Data  map[string][]byte // likewise: what is in no file, because only the readers of the copy may see it
}

// A Place is the second place, and what this machine knows of it.
type Place struct {
	Dir        string
	Recipients []age.Recipient
	State      string           // a directory of this machine: the list, and the key that signs it
	Now        func() time.Time // nil means time.Now
}

func (p *Place) now() time.Time {
	if p.Now != nil {
		return p.Now().UTC()
	}
	return time.Now().UTC()
}

// ParseRecipients reads public keys, such as age1….
func ParseRecipients(keys []string) (list []age.Recipient, err error) {
	for _, key := range keys {
		if strings.HasPrefix(strings.ToUpper(key), "AGE-SECRET-KEY") {
			return nil, errors.New("a recipient is a public key, age1…: a secret key does not belong on this machine")
		}
		r, err := age.ParseRecipients(strings.NewReader(key))
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", key, err)
		}
		list = append(list, r...)
	}
	return list, nil
}

// Ready fails unless the place is there, can be written, and is the one that the
// known copies are in: below a mount point where nothing is mounted, the first disk
// would be filled.
func (p *Place) Ready() error {
	fi, err := os.Stat(p.Dir)
	if err == nil && !fi.IsDir() {
		err = fmt.Errorf("%s is not a directory", p.Dir)
	}
	if err != nil {
		return fmt.Errorf("%w: is it mounted? %w", ErrPlace, err)
	}
	place, err := os.OpenRoot(p.Dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPlace, err)
	}
	defer func() { _ = place.Close() }()
	known, err := p.Known()
	if err != nil {
		return err
	}
	if _, err := place.Lstat(ContentsFile); err != nil && len(known.Copies) > 0 {
		return fmt.Errorf("%w: %s should have %d copies, and has no %s: mount the right disk or share; if they are lost for good, remove %s on this machine and copy anew",
			ErrPlace, p.Dir, len(known.Copies), ContentsFile, filepath.Join(p.State, ContentsFile))
	}
	if len(known.Copies) == 0 {
		if there, _, err := readContents(place, ""); err == nil && len(there.Copies) > 0 {
			return fmt.Errorf("%w: %s has %d copies of %s, which are not in this machine's list: give a directory of its own", ErrPlace, p.Dir, len(there.Copies), there.Host)
		}
	}
	entries, err := fs.ReadDir(place.FS(), ".")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPlace, err)
	}
	for _, e := range entries { // what an interrupted run left
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := place.Remove(e.Name()); err != nil {
				return fmt.Errorf("%w: %w", ErrPlace, err)
			}
		}
	}
	probe, name, err := create(place)
	if err == nil {
		_, err = probe.Write([]byte("x"))
		err = errors.Join(err, probe.Close(), place.Remove(name))
	}
	if err != nil {
		return fmt.Errorf("%w: %s cannot be written: %w", ErrPlace, p.Dir, err)
	}
	return nil
}

// Missing returns those of the sources that have no copy in the list, or whose
// copy is not in the place with the size that it had.
func (p *Place) Missing(sources []Source) ([]Source, error) {
	known, err := p.Known()
	if err != nil {
		return nil, err
	}
	var missing []Source
	for _, s := range sources {
		c := known.find(s.Kind, s.ID)
		if c != nil {
			fi, err := os.Lstat(filepath.Join(p.Dir, c.File))
			if err == nil && fi.Mode().IsRegular() && fi.Size() == c.Bytes {
				continue
			}
		}
		missing = append(missing, s)
	}
	return missing, nil
}

// Verify reads every copy back and compares it with the list of this machine, and
// that list with the one in the place. The errors are in the order of the list.
func (p *Place) Verify(ctx context.Context) (n int, errs []error) {
	known, err := p.Known()
	if err != nil {
		return 0, []error{err}
	}
	if err := p.Ready(); err != nil {
		return 0, []error{err}
	}
	place, err := os.OpenRoot(p.Dir)
	if err != nil {
		return 0, []error{fmt.Errorf("%w: %w", ErrPlace, err)}
	}
	defer func() { _ = place.Close() }()
	for _, c := range known.Copies {
		if err := matches(ctx, place, c.File, c); err != nil {
			if ctx.Err() != nil {
				return n, []error{ctx.Err()}
			}
			errs = append(errs, err)
		}
		n++
	}
	there, _, err := readContents(place, p.PublicKey())
	if err == nil && !slices.EqualFunc(there.Copies, known.Copies, func(a, b Copy) bool { return a.SHA256 == b.SHA256 && a.File == b.File }) {
		err = fmt.Errorf("%w: %s is not the list of this machine", ErrDamaged, ContentsFile)
	}
	if err != nil {
		errs = append(errs, err)
	}
	return n, errs
}

// Prune removes copies: it keeps the newest of each kind and name, keep of them, and
// those that needed says are needed. What is not in the list is not touched.
func (p *Place) Prune(keep int, needed func(Copy) bool) (gone []Copy, err error) {
	known, err := p.Known()
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	var stay []Copy
	byAge := slices.Clone(known.Copies)
	slices.SortStableFunc(byAge, func(a, b Copy) int { return b.Of.Compare(a.Of) })
	for _, c := range byAge {
		key := c.Kind + "\x00" + c.Name
		if seen[key]++; seen[key] <= max(1, keep) || needed(c) {
			continue
		}
		gone = append(gone, c)
	}
	if len(gone) == 0 {
		return nil, nil
	}
	for _, c := range known.Copies {
		if !slices.ContainsFunc(gone, func(g Copy) bool { return g.File == c.File }) {
			stay = append(stay, c)
		}
	}
	known.Copies = stay
	if err := p.publish(known); err != nil { // first: what is in the list is there
		return nil, err
	}
	for _, c := range gone {
		if rerr := os.Remove(filepath.Join(p.Dir, c.File)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return gone, err
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	*c.n += int64(n)
	return n, err
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}
