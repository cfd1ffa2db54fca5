package site

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	mssqldb "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/aspupdate/aspupdate/install"
)

// openMSSQL prepares connections to a SQL Server, to another database than that of the URI if one is
// given. None is kept once it is closed: it would keep the database in use.
func openMSSQL(uri, database string) (*sql.DB, msdsn.Config, error) {
	cfg, err := msdsn.Parse(uri)
	if err != nil { // its text may have the password
		return nil, cfg, errors.New("invalid URI: write sqlserver://login:password@host/instance, with %XX for special characters")
	}
	of := cfg
	if database != "" {
		of.Database = database
	}
	of.AppName, of.LogFlags, of.DisableRetry = "aspupdate", 0, true
	db := sql.OpenDB(mssqldb.NewConnectorConfig(of))
	db.SetMaxIdleConns(-1)
	return db, cfg, nil
}

func mssqlServer(ctx context.Context, uri string) (s dbServer, err error) {
	db, cfg, err := openMSSQL(uri, "master")
	if err != nil {
		return s, err
	}
	defer func() { _ = db.Close() }()
	s.database = cfg.Database
	var collation string
	if err := db.QueryRowContext(ctx, `SELECT CONVERT(nvarchar(256), ISNULL(SERVERPROPERTY('ServerName'), N'')), CONVERT(nvarchar(128), ISNULL(SERVERPROPERTY('Collation'), N''))`).Scan(&s.id, &collation); err != nil {
		return s, err
	}
	s.fold = !strings.Contains(collation, "_CS_") && !strings.Contains(collation, "_BIN")
	rows, err := db.QueryContext(ctx, `SELECT name FROM sys.databases`)
	if err != nil {
		return s, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return s, err
		}
		s.databases = append(s.databases, name)
	}
	return s, rows.Err()
}

// askMSSQL asks a database with the rights of one of its users, which the query cannot leave: what it
// calls belongs to the application, and the login of the URI may do everything.
func askMSSQL(ctx context.Context, uri, user, query string) (string, error) {
	db, _, err := openMSSQL(uri, "")
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := db.Conn(ctx)
	if err == nil {
		defer func() { _ = c.Close() }()
		// Not in one batch with the query, which would go on with the rights of the login if this fails:
		// the owner of the database can drop the user.
		_, err = c.ExecContext(ctx, "EXECUTE AS USER = N'"+strings.ReplaceAll(user, "'", "''")+"' WITH NO REVERT")
	}
	if err != nil {
		return "", fmt.Errorf("the database does not answer the version query: %s", explainMSSQL(err))
	}
	return install.SQLProbe{DB: c, Query: query, Explain: explainMSSQL}.Version(ctx)
}

// explainMSSQL returns what the server says, and nothing of what the driver says: that may quote the
// connection string.
func explainMSSQL(err error) string {
	if e, ok := errors.AsType[mssqldb.Error](err); ok {
		text := []rune(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, e.Message))
		return fmt.Sprintf("error %d: %s", e.Number, string(text[:min(len(text), 300)]))
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return "no connection: " + e.Err.Error()
	}
	return fmt.Sprintf("an error of type %T", err)
}
