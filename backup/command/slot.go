package command

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A slot is the live name in its place. A swap is two renames, and what a
// killed one left is told by the names alone: the live name is free while an
// old one and a new or undone one with the same mark exist.
type slot struct {
	live  string
	place place
}

// A place is where names are: a folder of files, or a server.
type place interface {
	list(ctx context.Context) ([]string, error) // may hold names that are none of ours
	rename(ctx context.Context, from, to string) error
	drop(ctx context.Context, name string) error
}

// What a name beside the live one is for, as a part of it.
const (
	isNew    = "new"    // being restored, or to take the place
	isOld    = "old"    // was live, kept aside
	isUndone = "undone" // was restored, then given up by Undo
)

var markForm = regexp.MustCompile(`^[0-9a-f]{12}$`)

func newMark() string {
	var r [6]byte
	_, _ = rand.Read(r[:]) // never fails, says its documentation
	return hex.EncodeToString(r[:])
}

func (s slot) beside(kind, mark string) string { return s.live + "_aspupdate_" + kind + "_" + mark }

// names is what there is, as far as it concerns a slot.
type names struct {
	live  bool
	marks map[string][]string // by kind
}

func (n names) has(kind, mark string) bool { return slices.Contains(n.marks[kind], mark) }

func (s slot) look(ctx context.Context) (names, error) {
	n := names{marks: map[string][]string{}}
	all, err := s.place.list(ctx)
	for _, name := range all {
		n.live = n.live || name == s.live
		for _, kind := range []string{isNew, isOld, isUndone} {
			if mark, ok := strings.CutPrefix(name, s.beside(kind, "")); ok && markForm.MatchString(mark) {
				n.marks[kind] = append(n.marks[kind], mark)
			}
		}
	}
	return n, err
}

func (s slot) exists(ctx context.Context, name string) (bool, error) {
	all, err := s.place.list(ctx)
	return slices.Contains(all, name), err
}

// recover finishes what a killed run left: a swap cut short gives the name
// back to the old, and what is half built or given up is dropped. What is kept
// aside stays.
func (s slot) recover(ctx context.Context) error {
	n, err := s.look(ctx)
	if err != nil {
		return err
	}
	if !n.live {
		for _, mark := range n.marks[isOld] {
			if !n.has(isNew, mark) && !n.has(isUndone, mark) {
				continue // nothing was cut short: somebody removed the live data
			}
			if err := s.place.rename(ctx, s.beside(isOld, mark), s.live); err != nil {
				return err
			}
			break
		}
	}
	for _, kind := range []string{isNew, isUndone} {
		for _, mark := range n.marks[kind] {
			if err := s.place.drop(ctx, s.beside(kind, mark)); err != nil {
				return err
			}
		}
	}
	return nil
}

// swap keeps what is live aside, and lets the new data of that mark take its
// place. After an error what was live is live again.
func (s slot) swap(ctx context.Context, mark string, live bool) error {
	err := ctx.Err() // the last moment to stop
	ctx = context.WithoutCancel(ctx)
	if err == nil && live {
		err = s.place.rename(ctx, s.live, s.beside(isOld, mark))
	}
	if err == nil {
		err = s.place.rename(ctx, s.beside(isNew, mark), s.live)
	}
	if err != nil {
		return errors.Join(err, s.recover(ctx))
	}
	return nil
}

// unswap lets what is live go and the old data of that mark, if there was
// any, take its place again.
func (s slot) unswap(ctx context.Context, mark string, live, old bool) (err error) {
	ctx = context.WithoutCancel(ctx)
	if live {
		err = s.place.rename(ctx, s.live, s.beside(isUndone, mark))
	}
	if err == nil && old {
		err = s.place.rename(ctx, s.beside(isOld, mark), s.live)
	}
	if rerr := s.recover(ctx); err == nil || rerr != nil { // also drops what was undone
		return errors.Join(err, rerr)
	}
	if n, lerr := s.look(ctx); old && lerr == nil && n.live && !n.has(isOld, mark) {
		return nil // recover has finished it
	}
	return err
}

// tidy drops what restores kept aside, unless that is all there is.
func (s slot) tidy(ctx context.Context) error {
	n, err := s.look(ctx)
	if err != nil {
		return err
	}
	for _, mark := range n.marks[isOld] {
		if !n.live {
			return fmt.Errorf("it is not there, and %s is all that is left: rename it, or remove it by hand", s.beside(isOld, mark))
		}
		if err := s.place.drop(ctx, s.beside(isOld, mark)); err != nil {
			return err
		}
	}
	return nil
}

// remove drops name if it exists.
func (s slot) remove(ctx context.Context, name string) error {
	there, err := s.exists(ctx, name)
	if err != nil || !there {
		return err
	}
	return s.place.drop(ctx, name)
}

// clean drops what a failure left, also where ctx has ended. It takes at most
// some minutes: what is left is dropped by the next call.
func (s slot) clean(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	return s.remove(ctx, name)
}
