package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// A table is the fingerprint of a table, of a sequence, or of all large objects
// together. The sum does not depend on the order of rows. Without Checksums,
// tables have neither rows nor sum, and large objects are only counted; a
// sequence always has its value.
type table struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Rows   int64  `json:"rows,omitempty"`
	Sum    string `json:"sum,omitempty"`
	Moved  bool   `json:"moved,omitempty"` // a sequence that was used during the dump: a snapshot does not include its value
}

const (
	largeObjects  = "pg_largeobject"
	sequenceValue = "SELECT 1, last_value || CASE WHEN is_called THEN ' used' ELSE '' END FROM "
)

type relation struct{ Schema, Name, Kind string }

// relations returns the tables and sequences whose rows pg_dump dumps.
func relations(ctx context.Context, q querier) ([]relation, error) {
	return collect[relation](ctx, q, `SELECT nspname, relname, relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'S') AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') ORDER BY 1, 2`)
}

// tables fingerprints everything whose rows pg_dump dumps; sums says whether to
// read the rows. Materialized views are computed anew by a restore, and the tables
// of an extension are its own.
func tables(ctx context.Context, q querier, version int, sums bool) ([]table, error) {
	relations, err := relations(ctx, q)
	if err != nil {
		return nil, err
	}
	list := []table{}
	for _, r := range relations {
		t := table{Schema: printable(r.Schema), Name: printable(r.Name)}
		from := ident(r.Schema, r.Name)
		switch {
		case r.Kind == "S":
			err = one(ctx, q, sequenceValue+from, &t.Rows, &t.Sum)
		case sums: // ROW(x.*) and not x: a column may be named x
			err = one(ctx, q, `SELECT count(*), coalesce(sum(hashtextextended(ROW(x.*)::text COLLATE "C", 0)), 0)::text FROM ONLY `+from+" x", &t.Rows, &t.Sum)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", from, err)
		}
		list = append(list, t)
	}
	t := table{Schema: "pg_catalog", Name: largeObjects}
	if err := q.QueryRow(ctx, "SELECT count(*) FROM pg_largeobject_metadata").Scan(&t.Rows); err != nil {
		return nil, err
	}
	if sums && version >= 140000 { // which can trim bytes
		// A restore may cut large objects with holes into other pages: zeros
		// do not count.
		err := q.QueryRow(ctx, `SELECT coalesce(sum(hashtextextended(loid || ' ' || pageno || ' ' || encode(d, 'hex'), 0)), 0)::text
			FROM (SELECT loid, pageno, rtrim(data, '\x00'::bytea) d FROM pg_largeobject) p WHERE d <> ''`).Scan(&t.Sum)
		if err != nil {
			return nil, err
		}
	}
	return append(list, t), nil
}

// sequences returns the values of all sequences by schema and name. They are the
// current ones, whatever the snapshot.
func sequences(ctx context.Context, q querier) (map[[2]string]string, error) {
	relations, err := relations(ctx, q)
	if err != nil {
		return nil, err
	}
	values := map[[2]string]string{}
	for _, r := range relations {
		if r.Kind != "S" {
			continue
		}
		var rows int64
		var value string
		if err := one(ctx, q, sequenceValue+ident(r.Schema, r.Name), &rows, &value); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", ident(r.Schema, r.Name), err)
		}
		values[[2]string{printable(r.Schema), printable(r.Name)}] = value
	}
	return values, nil
}

// derived counts what a restore makes from the rows of plain tables.
type derived struct {
	Way         int   `json:"way"` // of counting: different ones are not compared
	Indexes     int64 `json:"indexes"`
	Constraints int64 `json:"constraints"` // keys, foreign keys, checks and exclusions
	Triggers    int64 `json:"triggers"`
}

// countDerived leaves out partitions, whose share of their parent's is counted
// differently after a restore, and invalid indexes, which pg_dump leaves out.
func countDerived(ctx context.Context, q querier, version int) (*derived, error) {
	if version < 120000 {
		return nil, nil
	}
	m := derived{Way: 1}
	err := q.QueryRow(ctx, `WITH plain AS (
			SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
			WHERE relkind = 'r' AND NOT relispartition AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
			AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'))
		SELECT (SELECT count(*) FROM plain JOIN pg_index ON indrelid = oid WHERE indisvalid AND indisready),
			(SELECT count(*) FROM plain p JOIN pg_constraint ON conrelid = p.oid WHERE conparentid = 0 AND
				(contype IN ('f', 'c') OR contype IN ('p', 'u', 'x') AND EXISTS (SELECT FROM pg_index WHERE indexrelid = conindid AND indisvalid AND indisready))),
			(SELECT count(*) FROM plain p JOIN pg_trigger ON tgrelid = p.oid WHERE NOT tgisinternal)`).Scan(&m.Indexes, &m.Constraints, &m.Triggers)
	return &m, err
}

// one reads one row. In a transaction it releases its locks: a server has only so
// many, and there may be any number of tables.
func one(ctx context.Context, q querier, query string, to ...any) error {
	tx, ok := q.(pgx.Tx)
	if !ok {
		return q.QueryRow(ctx, query).Scan(to...)
	}
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(savepoint.QueryRow(ctx, query).Scan(to...), savepoint.Rollback(ctx))
}

// printable spells a name that is not UTF-8 in a way that JSON preserves.
func printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}
