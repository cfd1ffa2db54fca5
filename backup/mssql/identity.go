package mssql

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/aspupdate/aspupdate/backup"
)

// An identity says which database it is. A name does not: others can give it to
// another database at any time. The GUID is of its files; RESTORE and CREATE DATABASE make a
// new one, and a rename keeps it. An attached copy of the files has the same GUID and
// another number; the number of a database that was dropped is used again.
type identity struct {
	id      int
	guid    string // "" while the database is not online
	created string // changes with a rename: it shows only whether something has happened since
}

// is reports whether both are the same database.
func (i identity) is(other identity) bool {
	return i.id == other.id && i.guid != "" && i.guid == other.guid
}

// The mark of a restore is proof of what was live before: 4 digits make it unlike other
// marks, and 8 digits are of a hash over them and the identity.
func (i identity) mark(salt string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", salt, i.id, i.guid))
	return salt + hex.EncodeToString(sum[:4])
}

// owns reports whether the mark is of a restore before which this database was live.
func (i identity) owns(mark string) bool { return i.guid != "" && i.mark(mark[:4]) == mark }

// newMark returns the mark of the next restore.
func (s *session) newMark() string {
	var r [6]byte
	_, _ = rand.Read(r[:]) // never fails, see crypto/rand
	mark := hex.EncodeToString(r[:])
	if live, ok := s.known[s.name]; ok {
		return live.mark(mark[:4])
	}
	return mark
}

// fileForm returns the form of the names of files that a restore makes. They stay when
// the database is renamed, and RESTORE overwrites none.
func (s *session) fileForm(mark string) *regexp.Regexp {
	return regexp.MustCompile(`(^|[\\/])` + regexp.QuoteMeta(safeName(s.name)) + "_" + mark + `_\d+\.[mnl]df$`)
}

const anyMark = "[0-9a-f]{12}"

// safeName returns a database's name as it is in names of files.
func safeName(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' {
			return r
		}
		return '_'
	}, name)
}

// madeBy reports whether a restore with that mark has made a database: its first file
// has the name that was chosen there.
func (s *session) madeBy(ctx context.Context, name, mark string) (bool, error) {
	list, _, err := s.files(ctx, name)
	return len(list) > 0 && s.fileForm(mark).MatchString(list[0].Path), err
}

var besideForm = regexp.MustCompile(`^(new|old|undone|differ)_([0-9a-f]{12})$`)

// prove finds out which databases are those of restores, and remembers their identities.
// It returns their names, and the live one. What has the name of one and is not proven
// to be one is left out: nothing touches it. While something is kept aside that was live, the
// database with the live name must be it or what was restored: if another one
// has taken the name, prove fails.
func (s *session) prove(ctx context.Context) ([]string, error) {
	all, err := s.names(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	s.known = map[string]status{}
	var proven, aside, marks []string
	for _, name := range all {
		rest, ok := strings.CutPrefix(name, s.name+"_aspupdate_")
		m := besideForm.FindStringSubmatch(rest)
		if !ok || m == nil {
			continue
		}
		st, ours, err := s.beOne(ctx, name, m[1], m[2])
		if err != nil {
			return nil, err
		}
		if !ours {
			s.doubt(name)
			continue
		}
		s.known[name] = st
		proven, marks = append(proven, name), append(marks, m[2])
		if m[1] == "old" || m[1] == "undone" {
			aside = append(aside, name)
		}
	}
	if !slices.Contains(all, s.name) {
		return proven, nil
	}
	live, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	if len(aside) > 0 && !slices.ContainsFunc(marks, live.owns) {
		made, err := s.madeBy(ctx, s.name, anyMark)
		if err != nil {
			return nil, err
		}
		if !made {
			return nil, advise(fmt.Errorf("%w: another database has taken the name %q: it is neither what was live before a restore nor what was restored; nothing is changed, and what was live is kept, see %q",
				backup.ErrBusy, s.name, aside[0]),
				fmt.Sprintf("give the other one another name (%s) and repeat; if it is the right one, rename or drop %s yourself", sqlRename(s.name, "..."), strings.Join(aside, ", ")))
		}
	}
	s.known[s.name] = live
	return append(proven, s.name), nil
}

// beOne reports whether the database is what its name says. What is new, undone or differ was made by
// a restore; what is old was live before it.
func (s *session) beOne(ctx context.Context, name, kind, mark string) (st status, ours bool, err error) {
	if st, err = s.status(ctx, name); err != nil {
		return st, false, ignoreNone(err)
	}
	if kind == "old" {
		return st, st.owns(mark), nil
	}
	ours, err = s.madeBy(ctx, name, mark)
	return st, ours, err
}

// doubt warns once of a database that is not known to be ours.
func (s *session) doubt(name string) {
	if !slices.Contains(s.doubted, name) {
		s.doubted = append(s.doubted, name)
		s.warn(fmt.Sprintf("the database %q has a name as restores give them, and nothing proves that it is of one: it is left alone", name))
	}
}

// guarded returns a batch: the statement, if the named databases are still those.
func guarded(statement string, held ...hold) string {
	var b strings.Builder
	for _, h := range held {
		b.WriteString(sqlGuard(h.name, h.identity))
	}
	return b.String() + statement
}

// A hold is a database that must still be the one that it was.
type hold struct {
	name string
	identity
}

// hold returns what is known of a database.
func (s *session) hold(name string) (hold, error) {
	st, ok := s.known[name]
	if !ok {
		return hold{}, fmt.Errorf("%w: it is not known which database %q is: nothing is changed", backup.ErrBusy, name)
	}
	return hold{name, st.identity}, nil
}

// alter runs a statement that changes a database, if it is still the one that is known.
func (s *session) alter(ctx context.Context, name, statement string) error {
	h, err := s.hold(name)
	if err != nil {
		return err
	}
	return s.exec(ctx, guarded(statement, h))
}
