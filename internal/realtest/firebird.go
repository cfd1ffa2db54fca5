package realtest

import "testing"

// A FirebirdSet is the tools of a Firebird 3 whose engine runs inside them:
// a database is a file of the test's own, and no server is needed.
type FirebirdSet struct {
	Gbak string   // backs up and restores
	Isql string   // runs SQL
	Env  []string // what they need besides the process's own environment
}

// Firebird returns Firebird's tools, or skips the test if one is missing.
// Debian has them in firebird3.0-server-core and firebird3.0-utils.
func Firebird(t testing.TB) FirebirdSet {
	t.Helper()
	return FirebirdSet{
		Gbak: Program(t, "gbak", "/usr/lib/firebird/3.0/bin", "/opt/firebird/bin"),
		Isql: Program(t, "isql-fb", "/usr/lib/firebird/3.0/bin", "/opt/firebird/bin"),
		// The engine inside the tools needs no password. The default directory of
		// locks is the machine's.
		Env: []string{"ISC_USER=SYSDBA", "FIREBIRD_LOCK=" + t.TempDir()},
	}
}
