// Package swap swaps restored data in for the live data, and back out.
//
// A [Slot] is the live name in its [Place]: a path in a directory, or a
// database on a server. New data is built under a name beside the live one,
// <live>_aspupdate_new_<mark>, and compared there by the caller. Then two
// renames swap it in: the live data becomes <live>_aspupdate_old_<mark>, and
// the new data gets the live name.
//
// A crash can happen between any two steps. What it left is read from the names
// alone: while the live name is free, an old name whose mark also has a new or
// an undone name is that of a swap that was cut short, and [Slot.Recover] gives
// the live name back to the old data. It then drops everything new and undone.
// An old name without them is data that was kept aside, and stays.
//
// A restore that differs from its backup stays as <live>_aspupdate_differ_<mark>,
// which has no part in a swap; see [Differing].
//
// A slot of files can have companions, files that belong to the main one, such
// as the write-ahead log of an SQLite database. The main name leaves the slot
// first and takes it last, and new data has no companions.
//
// A Slot must not be used by two calls at a time. A swap that has begun is
// not interrupted by the end of its context.
package swap

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
)

// A Slot is the live name in its place.
type Slot struct {
	Live  string
	Place Place
	// Reopen, if set, returns the slot that an Undo or a Discard works on, which
	// may come much later than the restore; call is "undo" or "discard".
	Reopen func(call string) (*Slot, error)
	// Mark, if set, returns the mark of a restore, of the form that others have; it
	// may say what was live. It is called after List.
	Mark func() string

	companions []string    // suffixes of names that belong to the main one
	made       fs.FileInfo // of the new file or directory, if its identity is known
}

// Made records what was made, so that a swap finds out if another account puts
// something else in its place.
func (s *Slot) Made(fi fs.FileInfo) { s.made = fi }

// A Place holds names.
type Place interface {
	// List returns the names that exist; it may include names that do not belong to the slot.
	List(ctx context.Context) ([]string, error)
	// Rename renames from as to, durably. It fails if to exists.
	Rename(ctx context.Context, from, to string) error
	// Drop removes name, durably, even if it is half made.
	Drop(ctx context.Context, name string) error
}

// errStray is that of a name in the form of ours which is not known to be ours.
var errStray = errors.New("left as it is")

// Kinds of names beside the live one.
const (
	kindNew    = "new"    // being built, or about to be swapped in
	kindOld    = "old"    // was live, kept aside
	kindUndone = "undone" // was restored, then given up by Undo
	// What was restored and differs from its backup; a person may compare it. It has no
	// part in a swap, and stays until the next restore or Tidy.
	kindDiffers = "differ" // no longer than the others: names have a limit
)

var markForm = regexp.MustCompile(`^[0-9a-f]{12}$`)

func newMark() string {
	var r [6]byte
	_, _ = rand.Read(r[:]) // never fails, see crypto/rand
	return hex.EncodeToString(r[:])
}

func (s *Slot) beside(kind, mark string) string { return s.Live + "_aspupdate_" + kind + "_" + mark }

// IsLive reports whether something has the live name.
func (s *Slot) IsLive(ctx context.Context) (bool, error) {
	n, err := s.names(ctx)
	return n.live(), err
}

// Restore has build make new data and swaps it in. The data is a backup of what
// was live under the name from: another name is accepted only while the live name
// is free. After an error the live data is as it was.
func (s *Slot) Restore(ctx context.Context, from string, build func(name string) error) (*Restored, error) {
	n, err := s.names(ctx)
	if err != nil {
		return nil, err
	}
	if n.live() && from != s.Live {
		return nil, fmt.Errorf("%w: it is of %s and would replace %s: restore it to a name that is free", backup.ErrIncompatible, from, s.Live)
	}
	mark := newMark()
	if s.Mark != nil {
		mark = s.Mark()
	}
	if err := s.dropDiffering(ctx, n); err != nil { // its space is needed
		return nil, err
	}
	s.made = nil
	if err := build(s.beside(kindNew, mark)); err != nil {
		if d, ok := errors.AsType[*Differing](err); ok {
			return nil, s.keep(ctx, mark, d)
		}
		return nil, errors.Join(err, s.clean(ctx, s.beside(kindNew, mark)))
	}
	if err := s.swap(ctx, mark, n.live()); err != nil {
		return nil, err
	}
	return &Restored{slot: s, mark: mark, old: n.live()}, nil
}

// Try has build make a copy beside the live data, and drops it.
func (s *Slot) Try(ctx context.Context, build func(name string) error) error {
	name := s.beside(kindNew, newMark())
	return errors.Join(build(name), s.clean(ctx, name))
}

// TryBegin has begin make what a restore begins with beside the live data, and drops it.
func (s *Slot) TryBegin(ctx context.Context, begin func(name string) error) error {
	if err := s.Try(ctx, begin); err != nil {
		return fmt.Errorf("nothing could be restored beside it: %w", err)
	}
	return nil
}

// Tidy drops what restores kept aside, unless nothing is live. It fails if something has the name
// of a copy and is not known to be one.
func (s *Slot) Tidy(ctx context.Context) error {
	n, err := s.names(ctx)
	if err != nil {
		return err
	}
	for _, mark := range n.marks(kindOld) {
		if !n.live() {
			return fmt.Errorf("%s does not exist and %s is all that is left: rename it, or remove it yourself", s.Live, s.beside(kindOld, mark))
		}
		if err := s.drop(ctx, n, s.beside(kindOld, mark)); err != nil {
			return err
		}
	}
	for _, kind := range []string{kindNew, kindUndone, kindDiffers} { // that Recover has left
		for _, mark := range n.marks(kind) {
			if err := s.drop(ctx, n, s.beside(kind, mark)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Recover finishes what a killed run left. Every method of a target calls it first.
func (s *Slot) Recover(ctx context.Context) error {
	if err := s.adopt(ctx); err != nil {
		return err
	}
	n, err := s.names(ctx)
	if err != nil {
		return err
	}
	if mark := n.cutShort(); mark != "" {
		if n.exists(s.beside(kindUndone, mark)) && len(s.companions) > 0 {
			// What is left under the live name belongs to what was undone. It goes,
			// and then the undone name: see unswap.
			if err := s.dropCompanions(ctx, s.Live); err != nil {
				return err
			}
			if err := s.rename(ctx, s.beside(kindUndone, mark), s.beside(kindNew, mark)); err != nil {
				return err
			}
			if n, err = s.names(ctx); err != nil {
				return err
			}
		}
		if err := s.rename(ctx, s.beside(kindOld, mark), s.Live); err != nil {
			return err
		}
	}
	for _, kind := range []string{kindNew, kindUndone} {
		for _, mark := range n.marks(kind) {
			if err := s.drop(ctx, n, s.beside(kind, mark)); err != nil && !errors.Is(err, errStray) {
				return err
			}
		}
	}
	return nil
}

// swap keeps the live data aside and gives its name to the new data of that
// mark. After an error what was live is live again.
func (s *Slot) swap(ctx context.Context, mark string, live bool) error {
	err := ctx.Err() // the last moment to stop
	ctx = context.WithoutCancel(ctx)
	switch {
	case err != nil:
	case live:
		s.claim(s.beside(kindNew, mark))
		err = s.rename(ctx, s.Live, s.beside(kindOld, mark))
	default: // a write-ahead log without its database
		err = s.dropCompanions(ctx, s.Live)
	}
	if err == nil {
		err = s.rename(ctx, s.beside(kindNew, mark), s.Live)
	}
	if err == nil {
		if err = s.isMade(); err != nil {
			err = errors.Join(err, s.rename(ctx, s.Live, s.beside(kindUndone, mark)))
		}
	}
	if err != nil {
		return errors.Join(err, s.Recover(ctx))
	}
	return nil
}

// undo gives the live name back to what r kept aside, if there was anything.
func (s *Slot) undo(ctx context.Context, r *Restored) error {
	if r.undone {
		return s.Recover(ctx)
	}
	before, err := s.names(ctx)
	if err != nil {
		return err
	}
	if err := s.Recover(ctx); err != nil {
		return err
	}
	n, err := s.names(ctx)
	if err != nil {
		return err
	}
	old := s.beside(kindOld, r.mark)
	if r.old && !n.exists(old) {
		if !before.live() && n.live() {
			return nil // an Undo that was cut short: Recover has finished it
		}
		return fmt.Errorf("%s is gone: nothing to go back to", old)
	}
	ctx = context.WithoutCancel(ctx)
	err = s.unswap(ctx, r, n.live())
	r.undone = err == nil
	if rerr := s.Recover(ctx); err == nil || rerr != nil { // also drops what was undone
		return errors.Join(err, rerr)
	}
	if n, nerr := s.names(ctx); r.old && nerr == nil && n.live() && !n.exists(old) {
		return nil // Recover has finished it
	}
	return err
}

func (s *Slot) unswap(ctx context.Context, r *Restored, live bool) error {
	undone := s.beside(kindUndone, r.mark)
	if live {
		if r.old {
			s.claim(s.beside(kindOld, r.mark))
		}
		if err := s.rename(ctx, s.Live, undone); err != nil {
			return err
		}
	} else if err := s.dropCompanions(ctx, s.Live); err != nil {
		return err
	}
	if !r.old {
		return nil
	}
	if live && len(s.companions) > 0 {
		// From here on Recover treats a companion under the live name as part of
		// the old data; before this point, as part of what is undone.
		if err := s.rename(ctx, undone, s.beside(kindNew, r.mark)); err != nil {
			return err
		}
	}
	return s.rename(ctx, s.beside(kindOld, r.mark), s.Live)
}

// rename renames with companions. The main name goes first when it leaves
// the slot, and else last.
func (s *Slot) rename(ctx context.Context, from, to string) error {
	parts, err := s.existing(ctx, from)
	if err != nil {
		return err
	}
	if from == s.Live {
		parts = append([]string{""}, parts...)
	} else {
		parts = append(parts, "")
	}
	for _, c := range parts {
		if err := s.Place.Rename(ctx, from+c, to+c); err != nil {
			return err
		}
	}
	return nil
}

// drop drops what exists of name. The main name goes last: while it is there
// its companions are known to be ours.
func (s *Slot) drop(ctx context.Context, n names, name string) error {
	if err := s.dropCompanions(ctx, name); err != nil || !n.exists(name) {
		return err
	}
	return s.Place.Drop(ctx, name)
}

func (s *Slot) dropCompanions(ctx context.Context, name string) error {
	there, err := s.existing(ctx, name)
	for _, c := range there {
		if err == nil {
			err = s.Place.Drop(ctx, name+c)
		}
	}
	return err
}

// existing returns the companions that name has.
func (s *Slot) existing(ctx context.Context, name string) (there []string, err error) {
	if len(s.companions) == 0 {
		return nil, nil
	}
	n, err := s.names(ctx)
	for _, c := range s.companions {
		if n.exists(name + c) {
			there = append(there, c)
		}
	}
	return there, err
}

// clean drops what a failure left, even when ctx has ended. What it cannot
// drop within five minutes, the next Recover drops.
func (s *Slot) clean(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	n, err := s.names(ctx)
	if err != nil {
		return err
	}
	return s.drop(ctx, n, name)
}

// names are the names in a place that concern a slot.
type names struct {
	slot *Slot
	all  []string
}

func (s *Slot) names(ctx context.Context) (names, error) {
	all, err := s.Place.List(ctx)
	return names{s, all}, err
}

func (n names) exists(name string) bool { return slices.Contains(n.all, name) }

func (n names) live() bool { return n.exists(n.slot.Live) }

// marks returns the marks of a kind of names, also where only a companion is left.
func (n names) marks(kind string) []string {
	var marks []string
	for _, name := range n.all {
		mark, ok := strings.CutPrefix(name, n.slot.beside(kind, ""))
		for _, c := range n.slot.companions {
			mark = strings.TrimSuffix(mark, c)
		}
		if ok && markForm.MatchString(mark) && !slices.Contains(marks, mark) {
			marks = append(marks, mark)
		}
	}
	return marks
}

// cutShort returns the mark of a swap that was cut short, "" if none was. Where
// there are only old names, a person has removed the live data.
func (n names) cutShort() string {
	if n.live() {
		return ""
	}
	for _, mark := range n.marks(kindOld) {
		if n.exists(n.slot.beside(kindOld, mark)) &&
			(n.exists(n.slot.beside(kindNew, mark)) || n.exists(n.slot.beside(kindUndone, mark))) {
			return mark
		}
	}
	return ""
}

// Restored is a restore that has happened, a [backup.Restored].
type Restored struct {
	slot   *Slot
	mark   string
	old    bool // something was live before
	undone bool // Undo has swapped back; what it gave up may be left
	done   bool
}

// Undo implements [backup.Restored].
func (r *Restored) Undo(ctx context.Context) error {
	return r.finish(ctx, "undo", "undoing the restore of", (*Slot).undo)
}

// Discard implements [backup.Restored].
func (r *Restored) Discard(ctx context.Context) error {
	return r.finish(ctx, "discard", "discarding what was live before the restore of", func(s *Slot, ctx context.Context, r *Restored) error {
		n, err := s.names(ctx)
		if err != nil {
			return err
		}
		err = s.drop(ctx, n, s.beside(kindOld, r.mark))
		if errors.Is(err, errStray) { // Tidy says so
			return nil
		}
		return err
	})
}

func (r *Restored) finish(ctx context.Context, call, doing string, do func(*Slot, context.Context, *Restored) error) error {
	if r.done {
		return nil
	}
	s, err := r.slot, ctx.Err()
	if err == nil && s.Reopen != nil {
		s, err = s.Reopen(call)
	}
	if err == nil {
		err = do(s, ctx, r)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, r.slot.Live, err)
	}
	r.done = true
	return nil
}
