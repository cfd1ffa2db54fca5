package site

import (
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestR15DatabaseClosedForItsSnapshot: if installer and application share a role
// that is not a superuser, the database is closed only for the snapshot, and is
// open for the previous installer in a rollback.
func TestR15DatabaseClosedForItsSnapshot(t *testing.T) {
	t.Parallel()
	c := realtest.Postgres(t)
	admin := openDatabase(t, "pgx", c.Admin("postgres"))
	statement(t, admin, "CREATE ROLE asp LOGIN PASSWORD 'asp'")
	statement(t, admin, "CREATE DATABASE asp OWNER asp")
	asp := func(sql string) error {
		conn, err := pgx.Connect(t.Context(), c.URI("asp", "asp", "asp"))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(t.Context()) }()
		_, err = conn.Exec(t.Context(), sql)
		return err
	}
	require.NoError(t, asp("CREATE TABLE child AS SELECT 1 AS id"))
	dir := t.TempDir()
	update := func(why string) *Update {
		s := &Site{Config: &Config{
			State: filepath.Join(dir, "state"), Archive: filepath.Join(dir, "archive"), Backups: filepath.Join(dir, "backups"),
			Window:        windowConfig{AnyTime: "a test"},
			Distributions: []distributionConfig{{Name: "АСП", Probe: probeConfig{HTTP: "http://127.0.0.1:1/"}}},
			Postgres:      []postgresConfig{{Name: "asp", secret: hidden(c.Admin("asp")), Unfenced: why}},
		}}
		u, err := s.update(oneStep("АСП", "", ""))
		require.NoError(t, err)
		return u
	}

	u := update("")
	require.NoError(t, u.Fence.Close(t.Context()))
	require.ErrorContains(t, asp("SELECT"), "FATAL") // too many connections, or permission denied
	require.NoError(t, u.Fence.Open(t.Context()))

	u = update("the installer is no superuser")
	require.NoError(t, u.Fence.Close(t.Context()))
	ref, err := u.Data[0].Data.Snapshot(t.Context())
	require.NoError(t, err)
	require.NoError(t, u.Data[0].Data.Verify(t.Context(), ref))
	require.NoError(t, asp("DROP TABLE child"), "the installer can log in")
	require.NoError(t, u.Data[0].Data.Restore(t.Context(), ref))
	require.NoError(t, asp("SELECT id FROM child"), "so can that of the previous version")

	db := &postgres.Database{URI: c.Admin("asp")}
	require.NoError(t, db.Close(t.Context())) // as a crash leaves it
	require.NoError(t, u.Fence.Open(t.Context()))
	require.NoError(t, asp("SELECT id FROM child"))
}

func hidden(text string) secret { return secret{&text} }
