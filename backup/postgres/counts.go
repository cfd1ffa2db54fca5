package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Counts implements [backup.Counter]: the rows of each table as schema.table, all
// at one point in time, of a closed database too. It holds no lock that users
// would wait for.
func (d *Database) Counts(ctx context.Context) (map[string]int64, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	conn, err := s.to(ctx, s.name)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	list, err := relations(ctx, tx)
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, r := range list {
		if r.Kind != "r" {
			continue
		}
		var n int64
		if err := one(ctx, tx, "SELECT count(*) FROM ONLY "+ident(r.Schema, r.Name), &n); err != nil {
			return nil, fmt.Errorf("cannot count the rows of %s: %w", ident(r.Schema, r.Name), err)
		}
		counts[printable(r.Schema)+"."+printable(r.Name)] = n
	}
	return counts, nil
}
