package realtest

import "testing"

// A FirebirdSet is the tools of a Firebird 3 whose engine runs inside them:
// a database is a file of the test's own, and no server is needed.
type FirebirdSet struct {
	Gbak string   // backs up and restores
	Isql string   // runs SQL
	Env  []string // what they need besides the process's own environment
}

// Firebird finds Firebird's tools, or skips the test where one is missing.
// Debian has them in firebird3.0-server-core and firebird3.0-utils.
func Firebird(t testing.TB) FirebirdSet {
	t.Helper()
	return FirebirdSet{
		Gbak: Program(t, "gbak", "/usr/lib/firebird/3.0/bin", "/opt/firebird/bin"),
		Isql: Program(t, "isql-fb", "/usr/lib/firebird/3.0/bin", "/opt/firebird/bin"),
		// Inside the tools nobody asks for a password. The folder of the locks
		// is otherwise one for the whole machine.
		Env: []string{"ISC_USER=SYSDBA", "FIREBIRD_LOCK=" + t.TempDir()},
	}
}
