package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Tables of the application are read here, and only by
//
//	COPY schema.table (columns) TO STDOUT
//
// A query would not do. To plan one, the server evaluates functions in the expressions of
// a table's indexes, and it does so as the role that queries, which is a
// superuser. A column that is generated when it is read would be evaluated, and so
// would a view that has taken a table's name since the tables were listed.
//
// COPY of a name plans and evaluates nothing: the server refuses everything but a
// plain table, reads no index, and writes the columns that are stored with
// the output functions of their types, which only superusers can make. Row
// security does not apply to superusers. So it does not matter what a name
// stands for by now. A lock would add nothing, and would not keep a schema from
// being renamed. Sequences are read by number.

// A relation is a table or a sequence whose rows pg_dump dumps.
type relation struct {
	OID          uint32
	Schema, Name string
	Raw          [2][]byte // schema and name in the database's own encoding
	Kind         string
}

// relations returns the tables and sequences whose rows pg_dump dumps.
func relations(ctx context.Context, q querier) ([]relation, error) {
	type row struct {
		OID               uint32
		Schema, Name      string
		RawSchema, RawRel []byte
		Kind              string
	}
	rows, err := collect[row](ctx, q, `SELECT c.oid, nspname::text, relname::text, convert_to(nspname::text, getdatabaseencoding()),
			convert_to(relname::text, getdatabaseencoding()), relkind::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'S') AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') ORDER BY 2, 3`)
	list := make([]relation, len(rows))
	for i, r := range rows {
		list[i] = relation{r.OID, r.Schema, r.Name, [2][]byte{r.RawSchema, r.RawRel}, r.Kind}
	}
	return list, err
}

// A column is one that COPY can write: it is stored, and not computed.
type column struct {
	Table  uint32
	Raw    []byte // name in the database's own encoding
	Narrow bool   // of a fixed length that COPY writes fast
}

// columns returns the columns of all tables, by their names.
func columns(ctx context.Context, q querier, version int) (map[uint32][]column, error) {
	generated := ""
	if version >= 120000 {
		generated = " AND attgenerated = ''"
	}
	list, err := collect[column](ctx, q, `SELECT attrelid, convert_to(attname::text, getdatabaseencoding()), atttypid IN (16, 20, 21, 23, 26)
		FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped`+generated+
		` ORDER BY attname::text COLLATE "C"`)
	byTable := map[uint32][]column{}
	for _, c := range list {
		byTable[c.Table] = append(byTable[c.Table], c)
	}
	return byTable, err
}

// copyOut returns the statement that writes a table's columns. Without columns
// there is one empty line for each row.
func (r relation) copyOut(columns []column) string {
	sql := "COPY " + ident(string(r.Raw[0]), string(r.Raw[1]))
	if len(columns) > 0 {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = ident(string(c.Raw))
		}
		sql += " (" + strings.Join(names, ", ") + ")"
	}
	return sql + " TO STDOUT"
}

// sumRows reads all rows of the tables and returns their sums by OID.
func sumRows(ctx context.Context, tx pgx.Tx, version int, list []relation) (map[uint32]rowSum, error) {
	byTable, err := columns(ctx, tx, version)
	if err != nil {
		return nil, err
	}
	sums := map[uint32]rowSum{}
	err = copyTables(ctx, tx, list, func(r relation) (string, *rowSum, func()) {
		cs := byTable[r.OID]
		sum := &rowSum{}
		for _, c := range cs { // a column more or less is a difference without rows, too
			sum.add(append([]byte("column "), c.Raw...))
		}
		return r.copyOut(cs), sum, func() { sums[r.OID] = *sum }
	})
	return sums, err
}

// countRows returns the number of rows of the tables by OID. It reads one column of each, and
// nothing that is stored apart from its row.
func countRows(ctx context.Context, tx pgx.Tx, version int, list []relation) (map[uint32]int64, error) {
	byTable, err := columns(ctx, tx, version)
	if err != nil {
		return nil, err
	}
	counts := map[uint32]int64{}
	err = copyTables(ctx, tx, list, func(r relation) (string, *rowSum, func()) {
		cs := byTable[r.OID]
		for _, c := range cs {
			if c.Narrow {
				cs = []column{c}
				break
			}
		}
		sum := &rowSum{countOnly: true}
		return r.copyOut(cs), sum, func() { counts[r.OID] = sum.rows }
	})
	return counts, err
}

// copyTables copies each plain table to the sum that prepare returns. It releases
// the lock of each before it reads the next: a server has only so many, and
// there may be any number of tables.
func copyTables(ctx context.Context, tx pgx.Tx, list []relation, prepare func(relation) (sql string, sum *rowSum, done func())) error {
	// Text is neither converted nor checked: a database may hold bytes that are
	// invalid in its encoding, and pg_dump dumps them.
	if _, err := tx.Exec(ctx, "SET LOCAL client_encoding = SQL_ASCII"); err != nil {
		return err
	}
	for _, r := range list {
		if r.Kind != "r" {
			continue
		}
		sql, sum, done := prepare(r)
		savepoint, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Conn().PgConn().CopyTo(ctx, sum, sql)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("cannot read %s: %w", ident(r.Schema, r.Name), err)
		}
		if err := savepoint.Rollback(ctx); err != nil {
			return err
		}
		sum.end()
		done()
	}
	_, err := tx.Exec(ctx, "SET LOCAL client_encoding = UTF8")
	return err
}

// A rowSum counts lines that COPY writes, and adds up their SHA-256 as numbers
// of 256 bits, so that the order of rows does not matter. A line has no
// newline within: COPY escapes them.
type rowSum struct {
	rows      int64
	sum       [4]uint64 // the lowest first
	countOnly bool
	part      []byte // of a line
}

// Write never fails.
func (s *rowSum) Write(p []byte) (int, error) {
	n := len(p)
	if s.countOnly {
		s.rows += int64(bytes.Count(p, []byte{'\n'}))
		return n, nil
	}
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.part = append(s.part, p...)
			return n, nil
		}
		line := p[:i]
		if len(s.part) > 0 {
			line = append(s.part, line...)
			s.part = line[:0]
		}
		s.rows++
		s.add(line)
		p = p[i+1:]
	}
}

func (s *rowSum) add(line []byte) {
	h := sha256.Sum256(line)
	var carry uint64
	for i := range s.sum {
		s.sum[i], carry = bits.Add64(s.sum[i], binary.LittleEndian.Uint64(h[8*i:]), carry)
	}
}

// end forgets what Write has kept of the last line.
func (s *rowSum) end() { s.part = nil }

func (s rowSum) String() string {
	var b [32]byte
	for i, n := range s.sum {
		binary.LittleEndian.PutUint64(b[8*i:], n)
	}
	return hex.EncodeToString(b[:])
}

// unused is the value of a sequence that has given out no number, on servers
// that do not say by number what the first one will be.
const unused = "unused"

// sequenceValues returns the value of each sequence by OID. They are read by number: by
// its name, a sequence could be anything by the time of the query.
func sequenceValues(ctx context.Context, tx pgx.Tx, version int, list []relation) (map[uint32]string, error) {
	query := `SELECT o::oid, coalesce(pg_sequence_last_value(o::oid::regclass) || ' used', '` + unused + `') FROM unnest($1::int8[]) o`
	if version >= 180000 {
		query = `SELECT o::oid, last_value || CASE WHEN is_called THEN ' used' ELSE '' END
			FROM unnest($1::int8[]) o, pg_get_sequence_data(o::oid::regclass)`
	}
	values := map[uint32]string{}
	var oids []int64
	read := func() error {
		savepoint, err := tx.Begin(ctx) // for the locks, as above
		if err != nil {
			return err
		}
		type value struct {
			OID   uint32
			Value string
		}
		rows, err := collect[value](ctx, savepoint, query, oids)
		if err != nil {
			return err
		}
		for _, v := range rows {
			values[v.OID] = v.Value
		}
		oids = oids[:0]
		return savepoint.Rollback(ctx)
	}
	for _, r := range list {
		if r.Kind != "S" {
			continue
		}
		if oids = append(oids, int64(r.OID)); len(oids) == 100 {
			if err := read(); err != nil {
				return nil, fmt.Errorf("cannot read the values of sequences: %w", err)
			}
		}
	}
	if len(oids) > 0 {
		if err := read(); err != nil {
			return nil, fmt.Errorf("cannot read the values of sequences: %w", err)
		}
	}
	return values, nil
}

// sameSequence compares two values of a sequence, perhaps of servers that
// know more than others.
func sameSequence(a, b string) bool {
	if a == unused || b == unused {
		return !strings.HasSuffix(a, " used") && !strings.HasSuffix(b, " used")
	}
	return a == b
}
