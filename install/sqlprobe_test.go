package install

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A fakeDatabase answers each query in one way. What is real is in the tests
// of the examples, which have drivers.
type fakeDatabase struct {
	open, query error // of opening a connection, of a query
	rows        [][]driver.Value
	columns     int
	hang        bool
}

func (f fakeDatabase) Connect(context.Context) (driver.Conn, error) { return fakeConn{f}, f.open }
func (f fakeDatabase) Driver() driver.Driver                        { return nil }

type fakeConn struct{ fakeDatabase }

func (fakeConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (fakeConn) Close() error                        { return nil }
func (fakeConn) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }

func (c fakeConn) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	if c.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &fakeRows{c.rows, c.columns}, c.query
}

type fakeRows struct {
	left    [][]driver.Value
	columns int
}

func (r *fakeRows) Columns() []string { return make([]string, r.columns) }
func (*fakeRows) Close() error        { return nil }
func (r *fakeRows) Next(dest []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	copy(dest, r.left[0])
	r.left = r.left[1:]
	return nil
}

// A codedError has its code and a text that holds the password.
type codedError struct{}

func (codedError) Error() string    { return "postgres://asp:hunter2@db/asp: no such table" }
func (codedError) SQLState() string { return "42P01" }

func TestSQLProbe(t *testing.T) {
	secret := errors.New(`cannot parse "postgres://asp:hunter2@db:x/asp"`)
	refused := &net.OpError{Op: "dial", Err: fmt.Errorf("hunter2: %w", syscall.ECONNREFUSED)}
	row := func(values ...driver.Value) [][]driver.Value { return [][]driver.Value{values} }
	for _, c := range []struct {
		name    string
		db      fakeDatabase
		version string
		err     string
	}{
		{"text", fakeDatabase{rows: row(" 7.13.100 "), columns: 1}, "7.13.100", ""},
		{"bytes", fakeDatabase{rows: row([]byte("7.13.100\nmore")), columns: 1}, "7.13.100", ""},
		{"a number", fakeDatabase{rows: row(int64(713)), columns: 1}, "713", ""},
		{"null", fakeDatabase{rows: row(nil), columns: 1}, "", "returned null"},
		{"no row", fakeDatabase{columns: 1}, "", "returned none"},
		{"two rows", fakeDatabase{rows: append(row("7.12.100"), row("7.13.100")...), columns: 1}, "", "more than one"},
		{"two columns", fakeDatabase{rows: row("7", "13"), columns: 2}, "", "2 columns"},
		{"empty", fakeDatabase{rows: row(""), columns: 1}, "", "empty"},
		{"a story", fakeDatabase{rows: row(strings.Repeat("7", 1<<20)), columns: 1}, "", "too long"},
		{"R12 error", fakeDatabase{query: codedError{}}, "", "SQLSTATE 42P01"},
		{"R12 login refused", fakeDatabase{open: secret}, "", "is not shown"},
		{"query refused", fakeDatabase{query: secret}, "", "is not shown"},
		{"no server", fakeDatabase{open: fmt.Errorf("hunter2: %w", refused)}, "", "connection"},
		{"hanging", fakeDatabase{hang: true}, "", "deadline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := sql.OpenDB(c.db)
			defer func() { require.NoError(t, db.Close()) }()
			p := SQLProbe{DB: db, Query: "SELECT version FROM about"}
			if c.db.hang {
				p.Timeout = 50 * time.Millisecond
			}
			got, err := p.Version(t.Context())
			require.Equal(t, c.version, got)
			require.Zero(t, db.Stats().InUse, "the connection is given back")
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
			require.NotErrorIs(t, err, ErrFailed, "R12: progress, not failure")
			require.NotContains(t, fmt.Sprintf("%+v", err), "hunter2")
			for _, cause := range []error{c.db.open, c.db.query} {
				if cause != nil {
					require.ErrorIs(t, err, cause, "a caller may unwrap it")
				}
			}
		})
	}

	db := sql.OpenDB(fakeDatabase{open: secret})
	defer func() { require.NoError(t, db.Close()) }()
	p := SQLProbe{DB: db, Query: "SELECT 1", Explain: func(err error) string { return strings.ReplaceAll(err.Error(), "hunter2", "***") }}
	_, err := p.Version(t.Context())
	require.ErrorContains(t, err, `cannot parse "postgres://asp:***@`)
	why := errors.New("the operator said so")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err = p.Version(ctx)
	require.ErrorIs(t, err, why)
	for _, bad := range []SQLProbe{{}, {DB: db}, {Query: "SELECT 1"}} {
		_, err := bad.Version(t.Context())
		require.ErrorIs(t, err, ErrFailed, "no wait mends it")
	}
}
