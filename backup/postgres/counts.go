package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Counts implements [backup.Counter]: the rows of each table as schema.table, all
// at one point in time, of a closed database too. It holds no lock that users
// would wait for.
func (d *Database) Counts(ctx context.Context) (map[string]int64, error) {
	s, err := d.connect(ctx, reading)
	if err != nil {
		return nil, err
	}
	defer s.close()
	conn, err := s.to(ctx, s.name, reading)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	counts := map[string]int64{}
	err = still(ctx, conn, func(tx pgx.Tx) error {
		list, err := relations(ctx, tx)
		if err != nil {
			return err
		}
		byOID, err := countRows(ctx, tx, s.version, list)
		for _, r := range list {
			if r.Kind == "r" {
				counts[printable(r.Schema)+"."+printable(r.Name)] = byOID[r.OID]
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// still runs do in a transaction that sees one state of the database, and changes
// nothing.
func still(ctx context.Context, conn *pgx.Conn, do func(pgx.Tx) error) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return do(tx)
}
