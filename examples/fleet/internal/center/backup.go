package center

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
)

// ErrRestore means that a center cannot be restored from a backup as asked.
var ErrRestore = errors.New("the center cannot be restored")

// A Copy is what a backup has of a center.
type Copy struct {
	Entries int       // of the log
	Ends    time.Time // when the last of them was made; zero without one
	Sites   int       // that are enrolled
	Torn    bool      // the log ends in a part of an entry, which was left out
}

// Backup copies the keys and the log of a center to a new directory, also while
// its coordinator runs: the log is only appended to, and a line that is being
// written is left out. Every entry is checked. The store is not copied: an old one
// would go on with what was ended since, and the sites have what it has.
func Backup(dir, to string) (Copy, error) {
	return duplicate(dir, to, func(*Identity) error { return nil })
}

// Restore makes a center in a new directory from what [Backup] has made, or from any
// other copy of a center's directory, of which it takes the keys and the log alone.
// Its rollouts are made again from what the sites report, and wait for a person.
//
// The backup does not know which sites were revoked after it, and would let them in
// again: revoked names them, and nil is refused, while an empty slice means that
// there are none. They cannot be enrolled again under these ids. Those that the
// backup does not have are returned.
func Restore(from, dir string, revoked []string) (c Copy, unknown []string, err error) {
	whole, err := duplicate(from, dir, func(i *Identity) error {
		c = i.copied()
		if c.Entries == 0 { // a center that has run has some
			return fmt.Errorf("%w: its log has no entry, so that the copy is not whole: which sites are enrolled and which are revoked is not known", ErrRestore)
		}
		if slices.Contains(revoked, "") {
			return fmt.Errorf("%w: a site without a name is given as revoked", ErrRestore)
		}
		if revoked == nil {
			return fmt.Errorf("%w: a site that was revoked after %s, where the backup ends, would be in the fleet again: name each of them, or state that there is none", ErrRestore, i.ends())
		}
		if now := time.Now(); now.Before(i.last) { // a key is revoked from a time on
			return fmt.Errorf("%w: the clock of this machine is at %s, and the backup ends at %s: set the clock", ErrRestore, now.UTC().Format(time.RFC3339), i.ends())
		}
		if err := i.record(entry{Kind: "restored"}); err != nil {
			return err
		}
		for _, site := range revoked {
			if _, ok := i.sites[site]; !ok {
				unknown = append(unknown, site)
			}
			if err := i.record(entry{Kind: "barred", Site: site, Reason: "it was revoked after the backup"}); err != nil {
				return err
			}
		}
		return nil
	})
	c.Torn = whole.Torn
	return c, slices.Compact(slices.Sorted(slices.Values(unknown))), err
}

func (i *Identity) copied() Copy { return Copy{Entries: i.next, Ends: i.last, Sites: len(i.sites)} }

func (i *Identity) ends() string { return i.last.UTC().Format(time.RFC3339) }

// duplicate makes a center in a new directory from the keys and the log of another
// one, and calls more before anything can open it. After an error the directory is
// removed.
func duplicate(from, to string, more func(*Identity) error) (c Copy, err error) {
	i, err := keys(from)
	if err != nil {
		return c, err
	}
	secrets, err := os.ReadFile(filepath.Join(from, "identity.json"))
	if err != nil {
		return c, err
	}
	path := filepath.Join(from, "log.jsonl")
	log, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // before the first coordinator there is none
		return c, err
	}
	if err := i.replay(path, bytes.NewReader(log)); err != nil {
		return c, err
	}
	if err := private.Mkdir(to); err != nil {
		return c, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, durable.RemoveAll(to))
		}
	}()
	i.dir = to
	if i.log, err = os.OpenFile(filepath.Join(to, "log.jsonl"), os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600); err != nil {
		return c, err
	}
	torn := i.size < int64(len(log))
	_, err = i.log.Write(log[:i.size])
	if err == nil {
		err = more(i)
	}
	if err == nil {
		err = i.log.Sync()
	}
	if err = errors.Join(err, i.Close()); err != nil {
		return c, err
	}
	// Without its keys the directory is not a center: they come last.
	err = durable.WriteFile(filepath.Join(to, "identity.json"), secrets, 0o600)
	if err == nil {
		err = durable.SyncDir(filepath.Dir(to))
	}
	c = i.copied()
	c.Torn = torn
	return c, err
}
