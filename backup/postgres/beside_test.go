package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestReadBesideTheDump compares what a session of its own reads with what there is without
// room for one, and has the result ended early.
func TestReadBesideTheDump(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := w.db.begin(t.Context())
	require.NoError(t, err)
	defer s.close()
	conn := w.connect(t, w.c.Admin(w.name))
	defer closeConn(conn)
	require.NoError(t, still(t.Context(), conn, func(tx pgx.Tx) error {
		var snapshot string
		if err := tx.QueryRow(t.Context(), "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
			return err
		}
		w.admin(t, w.name, "INSERT INTO children (name) VALUES ('after the snapshot')")
		got, err := s.readBeside(t.Context(), tx, w.name, snapshot, facts{Checksums: true})(true)
		require.NoError(t, err)
		require.NotEmpty(t, got.Tables)
		other, err := s.readBeside(t.Context(), tx, "there is no room", snapshot, facts{Checksums: true})(true)
		require.NoError(t, err)
		require.Equal(t, other, got)
		_, err = s.readBeside(t.Context(), tx, w.name, snapshot, facts{Checksums: true})(false)
		require.NoError(t, err, "it is not needed")
		_, err = s.readBeside(t.Context(), tx, w.name, "0-0-0", facts{Checksums: true})(true)
		require.Error(t, err, "a snapshot that the server does not have")
		return nil
	}))
}
