package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A restored database that differs from its backup is kept, because the difference
// may be of no consequence, and the live database of less worth. A person compares both.

// besideError is that what was restored differs, and stays beside the live database.
type besideError struct {
	error
	name        string
	differences []string
}

func (e *besideError) Error() string {
	return fmt.Sprintf("%v; it stays beside the live one as the database %q", e.error, e.name)
}

func (e *besideError) Unwrap() error { return e.error }

// Beside returns the name of that database, and how it differs.
func (e *besideError) Beside() (name string, differences []string) { return e.name, e.differences }

// keepBeside keeps what was restored, and returns how it differs.
func (s *session) keepBeside(ctx context.Context, name string, f facts, diff []string) error {
	err := differ(diff)
	kept := besideName(s.name, kindDiffers, newMark())
	from, to := "ALTER DATABASE "+ident(name), "ALTER DATABASE "+ident(kept)
	deadline := time.Now().Add(s.d.drainFor())
	for {
		if _, derr := s.drain(ctx, name); derr != nil {
			return errors.Join(err, derr)
		}
		kerr := s.together(ctx, from+" RENAME TO "+ident(kept), to+" SET "+setKind+" = "+literal(kindDiffers), to+" SET "+setSnapshot+" = "+literal(f.id()))
		switch {
		case kerr == nil:
			return &besideError{err, kept, diff}
		case sqlState(kerr) != codeInUse || time.Now().After(deadline):
			return errors.Join(err, kerr)
		}
	}
}

// differing returns the name of what an earlier restore of this backup kept beside, if
// it differs in just the accepted way, or no longer at all. Everything else that was kept
// so is dropped: the next restore needs the space, and keeps its own.
func (s *session) differing(ctx context.Context, f facts, accepted []string) (name string, err error) {
	all, err := s.others(ctx)
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if kindOf(s.name, i.name) != kindDiffers || i.settings[setKind] != kindDiffers {
			continue
		}
		if name == "" && accepted != nil && i.settings[setSnapshot] == f.id() && s.mine(i) {
			got, err := s.inspect(ctx, i.name, f)
			if err != nil {
				return "", err
			}
			if diff := f.differences(got); len(diff) == 0 || slices.Equal(diff, accepted) {
				name = i.name
				continue
			}
		}
		if err := s.drop(ctx, i.name); err != nil {
			return "", err
		}
	}
	return name, nil
}

// id identifies a backup.
func (f facts) id() string {
	b, _ := json.Marshal(f) // plain values
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
