package realtest

import (
	"net/url"
	"strconv"
	"testing"
)

// A Cluster is a throwaway PostgreSQL server on loopback, empty but for the
// database postgres. Its only role is the superuser postgres.
type Cluster struct {
	Port     int
	Password string // of the role postgres, random
	Bin      string // directory of psql, pg_dump and so on
	Data     string // directory of the server, not readable for the test's user if that is root

	stop func()
}

// Postgres starts a PostgreSQL server that ends with the test, or skips the test where
// PostgreSQL is not installed.
func Postgres(t testing.TB) *Cluster {
	t.Helper()
	c, err := StartPostgres()
	if err != nil {
		Skip(t, "no PostgreSQL server: %v", err)
	}
	t.Cleanup(c.Stop)
	return c
}

// URI returns how to connect as a role to a database.
func (c *Cluster) URI(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password),
		Host: "127.0.0.1:" + strconv.Itoa(c.Port), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Admin returns how to connect as the superuser.
func (c *Cluster) Admin(database string) string { return c.URI("postgres", c.Password, database) }

// Stop ends the server and removes its directory. It may be called again.
func (c *Cluster) Stop() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}
