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

// An SQLProbe asks a database for the version: the query must return one row
// of one column, at most 256 bytes of text or a number. It goes through the
// caller's handle, with the driver and the role that the caller chose; no
// driver comes with this package. One that does not heed contexts is not
// bounded by Timeout. Let the handle keep no connection when it is not asked
// (SetMaxIdleConns(0)): a backup may wait for the last one to go.
type SQLProbe struct {
	DB      *sql.DB
	Query   string
	Timeout time.Duration // of one look; zero is 10 s
	// Explain returns what people may be shown of a driver's error. Drivers
	// quote the connection string, password and all, so nil shows no text of
	// theirs: the SQLSTATE where there is one, what the network said, or
	// just the error's type. The error itself can be unwrapped.
	Explain func(error) string
}

// Version implements [Probe].
func (p SQLProbe) Version(ctx context.Context) (string, error) {
	if p.DB == nil || p.Query == "" {
		return "", fmt.Errorf("%w: the probe names no database or no query; set DB and Query", ErrFailed)
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

// errAnswer is what the database has answered, but not well.
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
	case rows.Next(): // which of them is the version would be a guess
		return "", fmt.Errorf("%w: it returned more than one", errAnswer)
	}
	return text.String, rows.Err()
}

// explained hides what a driver's error says.
func (p SQLProbe) explained(err error) error {
	if p.Explain != nil {
		return driverError{p.Explain(err), err}
	}
	text := fmt.Sprintf("an error of type %T, whose text may hold the password and is not shown; see Explain", err)
	if e, ok := errors.AsType[sqlState](err); ok {
		text = "SQLSTATE " + e.SQLState()
	} else if e, ok := errors.AsType[*net.OpError](err); ok {
		text = "no connection"
		if errno, ok := errors.AsType[syscall.Errno](e); ok {
			text += ": " + errno.Error()
		} else if errors.Is(e, os.ErrDeadlineExceeded) {
			text += ": it took too long"
		}
	}
	return driverError{text, err}
}

// A sqlState is an error of a driver that tells the standard's code, as
// those for PostgreSQL and others do.
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
