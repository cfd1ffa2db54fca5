package postgres

import (
	"context"
	"strconv"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// A table is the fingerprint of a table, of a sequence, or of all large objects
// together. The sum does not depend on the order of rows and of columns. Without Checksums,
// tables have neither rows nor sum, and large objects are only counted; a
// sequence always has its value.
type table struct {
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Rows     int64  `json:"rows,omitempty"`
	Sum      string `json:"sum,omitempty"`
	Sequence bool   `json:"sequence,omitempty"` // not recorded by the first way of reading
	Moved    bool   `json:"moved,omitempty"`    // a sequence that was used during the dump: a snapshot does not include its value
}

const largeObjects = "pg_largeobject"

// Ways in which a manifest's tables were read, see facts.Way.
const (
	wayOfSQL  = 0 // sums by the server's hash of whole rows; columns in their order
	wayOfCopy = 1 // see rows.go
)

// tables fingerprints everything whose rows pg_dump dumps; sums says whether to
// read the rows. Materialized views are computed anew by a restore, and the tables
// of an extension are its own.
func tables(ctx context.Context, tx pgx.Tx, version int, sums bool) ([]table, error) {
	relations, err := relations(ctx, tx)
	if err != nil {
		return nil, err
	}
	values, err := sequenceValues(ctx, tx, version, relations)
	if err != nil {
		return nil, err
	}
	rows := map[uint32]rowSum{}
	if sums {
		if rows, err = sumRows(ctx, tx, version, relations); err != nil {
			return nil, err
		}
	}
	list := []table{}
	for _, r := range relations {
		t := table{Schema: printable(r.Schema), Name: printable(r.Name)}
		if r.Kind == "S" {
			t.Rows, t.Sum, t.Sequence = 1, values[r.OID], true
		} else if sum, ok := rows[r.OID]; ok {
			t.Rows, t.Sum = sum.rows, sum.String()
		}
		list = append(list, t)
	}
	t := table{Schema: "pg_catalog", Name: largeObjects}
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM pg_largeobject_metadata").Scan(&t.Rows); err != nil {
		return nil, err
	}
	if sums && version >= 140000 { // which can trim bytes
		// A restore may cut large objects with holes into other pages: zeros
		// do not count.
		err := tx.QueryRow(ctx, `SELECT coalesce(sum(hashtextextended(loid || ' ' || pageno || ' ' || encode(d, 'hex'), 0)), 0)::text
			FROM (SELECT loid, pageno, rtrim(data, '\x00'::bytea) d FROM pg_largeobject) p WHERE d <> ''`).Scan(&t.Sum)
		if err != nil {
			return nil, err
		}
	}
	return append(list, t), nil
}

// sequences returns the values of all sequences by schema and name. They are the
// current ones, whatever the snapshot.
func sequences(ctx context.Context, tx pgx.Tx, version int) (map[[2]string]string, error) {
	relations, err := relations(ctx, tx)
	if err != nil {
		return nil, err
	}
	byOID, err := sequenceValues(ctx, tx, version, relations)
	if err != nil {
		return nil, err
	}
	values := map[[2]string]string{}
	for _, r := range relations {
		if r.Kind == "S" {
			values[[2]string{printable(r.Schema), printable(r.Name)}] = byOID[r.OID]
		}
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

// printable spells a name that is not UTF-8 in a way that JSON preserves.
func printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}
