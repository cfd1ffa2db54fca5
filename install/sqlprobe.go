package install

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// An SQLProbe queries a database for the version: the query must return one row
// of one column, at most 256 bytes of text or a number. It uses the caller's
// handle, driver and role; this package includes no driver. Timeout does not
// bound a driver that ignores contexts. Configure the handle to keep no idle
// connection (SetMaxIdleConns(0)): a backup may wait until the last one is
// closed.
type SQLProbe struct {
	// DB is a [*sql.DB], or the [*sql.Conn] of a session whose rights were taken away first.
	DB interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
	Query string
	// Explain returns the text of a driver's error that may be shown. Drivers
	// quote the connection string with its password, so nil shows none of their
	// text: only the SQLSTATE, the network's error, or the error's type. The
	// error itself can be unwrapped.
	Explain func(error) string
	Timeout time.Duration // of one query; zero is 10 s
}

// Version implements [Probe].
func (p SQLProbe) Version(ctx context.Context) (string, error) {
	if p.DB == nil || p.Query == "" {
		return "", fmt.Errorf("%w: the probe has no database or no query; set DB and Query", ErrFailed)
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(p.Timeout, probeTimeout))
	defer cancel()
	version, err := p.ask(ctx)
	switch {
	case ctx.Err() != nil && err != nil:
		return "", fmt.Errorf("the database has not answered the version query: %w", context.Cause(ctx))
	case errors.Is(err, errAnswer):
		return "", err
	case err != nil:
		return "", fmt.Errorf("the database does not answer the version query: %w", p.explained(err))
	}
	if version, err = firstLine([]byte(version)); err != nil {
		return "", fmt.Errorf("the database: %w", err)
	}
	return version, nil
}

// errAnswer means that the database answered something other than a version.
var errAnswer = errors.New("the version query must return one row with one column that is not null")

func (p SQLProbe) ask(ctx context.Context) (version string, err error) {
	rows, err := p.DB.QueryContext(ctx, p.Query)
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return "", err
		}
		return "", fmt.Errorf("%w: it returned none", errAnswer)
	}
	if len(columns) != 1 {
		return "", fmt.Errorf("%w: it returned %d columns", errAnswer, len(columns))
	}
	var text sql.NullString
	if err := rows.Scan(&text); err != nil {
		return "", err
	}
	switch {
	case !text.Valid:
		return "", fmt.Errorf("%w: it returned null", errAnswer)
	case rows.Next(): // it is not known which of them is the version
		return "", fmt.Errorf("%w: it returned more than one", errAnswer)
	}
	return text.String, rows.Err()
}

// explained hides the text of a driver's error.
func (p SQLProbe) explained(err error) error {
	if p.Explain != nil {
		return driverError{p.Explain(err), err}
	}
	text := fmt.Sprintf("an error of type %T, whose text may contain the password and is not shown; see Explain", err)
	if e, ok := errors.AsType[sqlState](err); ok {
		text = "SQLSTATE " + e.SQLState()
	} else if e, ok := errors.AsType[*net.OpError](err); ok {
		text = "no connection"
		if errno, ok := errors.AsType[syscall.Errno](e); ok {
			text += ": " + errno.Error()
		} else if errors.Is(e, os.ErrDeadlineExceeded) {
			text += ": timed out"
		}
	}
	return driverError{text, err}
}

// A sqlState is a driver's error with the code of the SQL standard, such as
// those for PostgreSQL.
type sqlState interface {
	error
	SQLState() string
}

// A driverError shows a text in place of a driver's.
type driverError struct {
	text string
	err  error
}

func (e driverError) Error() string { return e.text }
func (e driverError) Unwrap() error { return e.err }
