package mssql

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// kept returns what an error says of a restored database that differs.
func kept(t *testing.T, err error) (name string, differences []string) {
	t.Helper()
	require.ErrorIs(t, err, backup.ErrMismatch)
	e, ok := errors.AsType[interface {
		error
		Beside() (string, []string)
	}](err)
	require.True(t, ok, err)
	return e.Beside()
}

// A newer server changes what it restores. That stays beside the live database, and is put in
// place for a person who has seen how it differs.
func TestR15WhatDiffersIsKept(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	meta, err := w.db.Backup(t.Context(), dir)
	require.NoError(t, err)
	w.update()
	live := w.state()
	w.upgrade = func(d *simDB) { d.Tables["dbo.families"][0] = "1 of a new version" }

	_, err = w.db.Restore(t.Context(), dir, meta)
	first, diff := kept(t, err)
	require.Len(t, diff, 1)
	require.Contains(t, diff[0], "[dbo].[families] has 2 rows with sum")
	require.ErrorContains(t, err, first)
	require.Equal(t, live, w.state())
	require.Equal(t, restricted, w.dbs[first].Access)
	require.Equal(t, "0", w.dbs[first].Options[optionTrust])

	// It survives the next calls; a restore needs its space.
	require.NoError(t, w.db.Close(t.Context()))
	require.Equal(t, []string{"differ"}, w.beside())
	_, err = w.db.Restore(t.Context(), dir, meta)
	second, _ := kept(t, err)
	require.NotEqual(t, first, second)
	require.Equal(t, []string{"differ"}, w.beside())

	// Other differences than those that were seen are not put in place.
	_, err = w.db.RestoreDiffering(t.Context(), dir, meta, []string{"[dbo].[families] is missing"})
	_, again := kept(t, err)
	require.Equal(t, diff, again)
	require.Equal(t, live, w.state())

	r, err := w.db.RestoreDiffering(t.Context(), dir, meta, diff)
	require.NoError(t, err)
	require.Equal(t, []string{"old"}, w.beside())
	require.Contains(t, w.state(), "1 of a new version")
	require.NoError(t, r.Undo(t.Context()))
	require.Equal(t, live, w.state())
	require.Empty(t, w.beside())

	// What differs outside the rows is compared last.
	w.upgrade = func(d *simDB) {
		d.Tables["dbo.families"][0] = "1 of a new version"
		d.Options["page_verify_option_desc"] = "CHECKSUM"
	}
	_, err = w.db.RestoreDiffering(t.Context(), dir, meta, diff)
	_, both := kept(t, err)
	require.Len(t, both, 2)
	r, err = w.db.RestoreDiffering(t.Context(), dir, meta, both)
	require.NoError(t, err)
	require.NoError(t, r.Discard(t.Context()))

	// A proof keeps nothing; Tidy leaves nothing.
	require.ErrorIs(t, w.db.Prove(t.Context(), dir, meta), backup.ErrMismatch)
	require.Empty(t, w.beside())
	_, err = w.db.Restore(t.Context(), dir, meta)
	kept(t, err)
	require.NoError(t, w.db.Tidy(t.Context()))
	require.Empty(t, w.beside())
}
