package postgres

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// respell returns m with changed facts.
func respell(t *testing.T, m backup.Meta, change func(*facts)) backup.Meta {
	t.Helper()
	f, err := readFacts(m)
	require.NoError(t, err)
	change(&f)
	m.Detail, err = json.Marshal(f)
	require.NoError(t, err)
	return m
}

// A proof restores the dump, while users work, and leaves nothing behind.
func TestR9ProofOfTheDump(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE TABLE h (h ext.hstore); INSERT INTO h VALUES ('a=>1')`)
	snap := w.take(t)
	w.admin(t, "postgres", "GRANT CONNECT ON DATABASE "+ident(w.name)+" TO "+ident(w.role))
	user, err := w.app(t)
	require.NoError(t, err)
	defer closeConn(user)
	before := w.state(t)
	var stages []backup.EventKind
	w.db.Observe = func(e backup.Event) { stages = append(stages, e.Kind) }
	snap, err = w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.NotZero(t, snap.Proven)
	require.Equal(t, []backup.EventKind{eventLoad, eventCompare}, slices.Compact(stages), "not from the clone")
	require.Equal(t, before, w.state(t))
	require.Equal(t, []string{kindClone}, w.kinds(t))
	require.NoError(t, user.Ping(t.Context()), "no session was terminated")

	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		spoil func(*facts)
		want  error
		say   string
	}{
		"rows":      {func(f *facts) { f.Tables[0].Sum = "1" }, backup.ErrMismatch, "with sum"},
		"a table":   {func(f *facts) { f.Tables = f.Tables[1:] }, backup.ErrMismatch, "is not in the backup"},
		"extension": {func(f *facts) { f.Extensions[0].Schema = "public" }, backup.ErrMismatch, "hstore in ext"},
		"version":   {func(f *facts) { f.Extensions[0].Version = "1.1" }, backup.ErrMismatch, `"hstore" has version`},
		"locale":    {func(f *facts) { f.Locale.Locale = "x" }, backup.ErrMismatch, "locale"},
		"dump":      {func(f *facts) { f.DumpSHA256 = "00" }, backup.ErrDamaged, "SHA-256"},
		"space":     {func(f *facts) { f.Bytes = 1 << 60 }, backup.ErrNoSpace, "free some space"},
		"role":      {func(f *facts) { f.Roles = append(f.Roles, "ghost") }, backup.ErrIncompatible, "ghost"},
	} {
		err := w.db.Prove(t.Context(), dir, respell(t, snap.Meta, c.spoil))
		require.ErrorIs(t, err, c.want, name)
		require.ErrorContains(t, err, c.say, name)
		require.NotContains(t, err.Error(), w.c.Password)
	}
	require.Equal(t, []string{kindClone}, w.kinds(t))

	// A restore does not depend on the version of an extension.
	require.NoError(t, w.db.Tidy(t.Context()))
	_, err = w.db.Restore(t.Context(), dir, respell(t, snap.Meta, func(f *facts) { f.Extensions[0].Version = "1.1" }))
	require.NoError(t, err)
}

// Without checksums all but the rows is compared, and the rows are not read.
func TestWithoutChecksums(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.Checksums = false
	before := w.state(t)
	snap := w.take(t)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	require.False(t, f.Checksums)
	for _, tbl := range f.Tables {
		switch tbl.Name {
		case "children", "Таблица", "parts1":
			require.Equal(t, table{Schema: tbl.Schema, Name: tbl.Name}, tbl)
		case "never_used":
			require.Equal(t, unused, tbl.Sum)
		case "pg_largeobject":
			require.Equal(t, table{Schema: "pg_catalog", Name: "pg_largeobject", Rows: 1}, tbl)
		}
	}
	w.update(t)
	w.db.Checksums = true // what the backup has is what counts
	_, err = w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	for say, spoil := range map[string]func(*facts){
		"is not in the backup": func(f *facts) { f.Tables = f.Tables[1:] },
		"1 objects":            func(f *facts) { f.Tables[len(f.Tables)-1].Rows = 2 },
		"owner":                func(f *facts) { f.Tables[0].Schema = "owner" },
	} {
		require.ErrorContains(t, w.db.Prove(t.Context(), dir, respell(t, snap.Meta, spoil)), say)
	}
	for range 2 { // from the clone, then from the dump
		_, err = w.store.Restore(t.Context(), snap.ID, w.db)
		require.NoError(t, err)
		require.Equal(t, before, w.state(t))
		require.NoError(t, w.db.Tidy(t.Context()))
		w.update(t)
	}
}

func TestKilledAtEveryStepOfAProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.kill(t, 1, func(db *Database) error {
		_, err := w.store.Prove(t.Context(), snap.ID, db)
		return err
	}, func(step string) {
		got, err := w.store.Get(snap.ID)
		require.NoError(t, err)
		require.Zero(t, got.Proven, step)
		require.NoError(t, w.db.Open(t.Context()), "any call recovers")
		require.Equal(t, []string{kindClone}, w.kinds(t), step)
	})
	require.Equal(t, before, w.state(t))
	got, err := w.store.Get(snap.ID)
	require.NoError(t, err)
	require.NotZero(t, got.Proven)
}

// A server that has nothing but the roles can prove the backups of another.
func TestProofWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	snap := w.take(t)
	db := *w.db
	db.URI = w.c.Admin("elsewhere " + w.name[:10])
	_, err := w.store.Prove(t.Context(), snap.ID, &db)
	require.NoError(t, err)
	db.URI = w.c.URI(w.role, w.password, w.name)
	_, err = w.store.Prove(t.Context(), snap.ID, &db)
	require.True(t, errors.Is(err, backup.ErrPermission), "%v", err)
}
