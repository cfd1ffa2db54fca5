package mssql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// What cannot be updated is refused before users are put out, with what helps.
func TestCheckRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		kind   error
		helps  string
	}{
		"no sysadmin":           {func(w *world) { w.server.sysadmin = 0 }, backup.ErrPermission, "ALTER SERVER ROLE [sysadmin] ADD MEMBER [maintenance]"},
		"an old server":         {func(w *world) { w.server.version = "10.50.1600.1" }, backup.ErrIncompatible, "2012 is the oldest"},
		"a cloud":               {func(w *world) { w.server.engine = 5 }, backup.ErrIncompatible, "service of the cloud"},
		"no database":           {func(w *world) { delete(w.dbs, liveName) }, nil, "does not exist"},
		"offline":               {func(w *world) { w.dbs[liveName].State = "OFFLINE" }, backup.ErrIncompatible, "bring it online"},
		"read-only":             {func(w *world) { w.dbs[liveName].ReadOnly = true }, backup.ErrIncompatible, "SET READ_WRITE"},
		"single user":           {func(w *world) { w.dbs[liveName].Access = "SINGLE_USER" }, backup.ErrBusy, "SET MULTI_USER"},
		"a snapshot":            {func(w *world) { w.dbs[liveName].Obstacles[0] = 1 }, backup.ErrIncompatible, "snapshot"},
		"an availability group": {func(w *world) { w.dbs[liveName].Obstacles[1] = 1 }, backup.ErrIncompatible, "ALTER AVAILABILITY GROUP"},
		"mirroring":             {func(w *world) { w.dbs[liveName].Obstacles[2] = 1 }, backup.ErrIncompatible, "SET PARTNER OFF"},
		"replication":           {func(w *world) { w.dbs[liveName].Obstacles[3] = 1 }, backup.ErrIncompatible, "sp_removedbreplication"},
		"change data capture":   {func(w *world) { w.dbs[liveName].Obstacles[4] = 1 }, backup.ErrIncompatible, "sp_cdc_disable_db"},
		"snapshots of it":       {func(w *world) { w.dbs[liveName].Obstacles[5] = 2 }, backup.ErrIncompatible, "DROP DATABASE"},
		"FILESTREAM":            {func(w *world) { w.dbs[liveName].Obstacles[6] = 1 }, backup.ErrIncompatible, "FILESTREAM"},
		"a key without copy":    {func(w *world) { w.dbs[liveName].Keys = []string{"TDE]1"} }, backup.ErrIncompatible, "BACKUP CERTIFICATE [TDE]]1]"},
		"an unknown owner":      {func(w *world) { w.dbs[liveName].Owner = "gone" }, backup.ErrIncompatible, "ALTER AUTHORIZATION ON DATABASE::[asp ]]'1] TO [sa]"},
		"an owner's role":       {func(w *world) { w.dbs[liveName].OwnerRole = []string{"app"} }, backup.ErrPermission, "ALTER ROLE [db_owner] DROP MEMBER"},
		"an owner":              {func(w *world) { w.dbs[liveName].Owner = "app" }, backup.ErrPermission, `lets in "app"`},
		"a sysadmin is in":      {func(w *world) { w.enter("sa", liveName, -1) }, backup.ErrPermission, "ALTER SERVER ROLE [sysadmin] DROP MEMBER [sa]"},
		"our login is in":       {func(w *world) { w.enter("maintenance", liveName, -1) }, backup.ErrPermission, "stop that program, or give it another login"},
		"an unwritable path":    {func(w *world) { w.dir = func(string) string { return "/nonexistent/x" } }, backup.ErrPermission, `let the server's account read and write in \\app\exchange`},
		"another path": {func(w *world) {
			dir := w.store.Dir
			w.dir = func(p string) string { return dir + "-" + filepath.Base(strings.ReplaceAll(p, `\`, "/")) }
		}, backup.ErrIncompatible, "set ServerDir"},
		"no exchange":        {func(w *world) { w.db.Dir = "" }, nil, "set Dir"},
		"a missing exchange": {func(w *world) { w.db.Dir += "/missing" }, os.ErrNotExist, ""},
		"no self-test":       {func(w *world) { w.db.Tested = Tested{} }, backup.ErrIncompatible, "run the self-test"},
		"another server":     {func(w *world) { w.db.Tested.Server = "OTHER" }, backup.ErrIncompatible, "run the self-test again"},
		"another version":    {func(w *world) { w.server.version = "16.0.4150.1" }, backup.ErrIncompatible, "run the self-test again"},
		"master":             {func(w *world) { w.db.name = "Master" }, backup.ErrIncompatible, "name the application's database"},
		"no name":            {func(w *world) { w.db.name, w.db.URI = "", "sqlserver://maintenance:geheim@db" }, nil, "?database="},
		"a long name":        {func(w *world) { w.db.name = strings.Repeat("я", maxName+1) }, nil, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.db.Check(t.Context())
			require.NoError(t, err)
			require.Empty(t, w.left(t))
			c.change(w)
			w.statements = nil
			_, err = w.db.Check(t.Context())
			require.ErrorContains(t, err, c.helps)
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
			}
			for _, s := range w.statements {
				require.NotRegexp(t, `^(ALTER|KILL|DROP|RESTORE DATABASE)`, s, "a check changes nothing")
			}
			if slices.Contains([]string{"an owner's role", "a sysadmin is in"}, name) {
				w.db.OwnersOut = true
				_, err = w.db.Check(t.Context())
				require.NoError(t, err)
				return
			}
			if errors.Is(c.kind, backup.ErrIncompatible) && name != "another path" {
				_, err = w.db.Backup(t.Context(), t.TempDir())
				require.Error(t, err, "nor is a backup made")
				if strings.Contains(name, "self-test") || strings.Contains(name, "another") {
					_, err = w.db.Restore(t.Context(), t.TempDir(), backup.Meta{Kind: kind, Detail: facts{Database: liveName, SHA256: strings.Repeat("0", 64), Files: []file{{}}}.json()})
					require.ErrorIs(t, err, backup.ErrIncompatible, "or restored")
				}
			}
		})
	}
}

func (f facts) json() []byte {
	b, _ := json.Marshal(f)
	return b
}

func TestServerSaysWhatItIs(t *testing.T) {
	w := newWorld(t)
	server, err := w.db.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, "SQL Server 16.0.4135.4 Developer Edition (64-bit) on SIM", server)
}

// Names of databases are compared as strings: see package swap.
func TestNameIsWrittenAsTheServerHasIt(t *testing.T) {
	w := newWorld(t)
	w.db.name = strings.ToUpper(liveName)
	require.ErrorContains(t, w.db.Open(t.Context()), `as "asp ]'1", and not as "ASP ]'1"`)
}

func TestEditionWithoutCompression(t *testing.T) {
	for _, edition := range []string{"Web Edition (64-bit)", "Express Edition (64-bit)"} {
		w := newWorld(t)
		w.server.edition = edition
		if strings.HasPrefix(edition, "Express") {
			w.server.engine = 4
		}
		w.db.Tested.Version = w.server.full()
		old := w.state()
		snap := w.take(t)
		w.update()
		_, err := w.store.Restore(t.Context(), snap.ID, w.db)
		require.NoError(t, err)
		require.Equal(t, old, w.state())
	}
}

func TestFence(t *testing.T) {
	w := newWorld(t)
	closed := func() bool {
		c, err := w.db.Closed(t.Context())
		require.NoError(t, err)
		return c
	}
	require.True(t, closed())
	require.NoError(t, w.db.Open(t.Context()))
	require.NoError(t, w.db.Open(t.Context()), "repeating is fine")
	require.False(t, closed())
	_, err := w.store.Take(t.Context(), "x", w.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "close it first")

	w.enter("clerk", liveName, 1000) // the server refuses its return
	w.db.Notice = 1500 * time.Millisecond
	w.statements = nil
	require.NoError(t, w.db.Close(t.Context()))
	require.Contains(t, w.statements, "ALTER DATABASE [asp ]]'1] SET RESTRICTED_USER WITH ROLLBACK AFTER 2 SECONDS")
	require.Empty(t, w.users)
	require.True(t, closed())
	require.NoError(t, w.db.Close(t.Context()), "repeating is fine")

	snap := w.take(t)
	require.NoError(t, w.db.Open(t.Context()))
	_, err = w.store.Restore(t.Context(), snap.ID, w.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	_, err = w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err, "users may go on during a proof")
	require.NoError(t, w.db.Close(t.Context()))
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.True(t, closed(), "what was restored is closed")
	require.NoError(t, w.db.Open(t.Context()))
	require.ErrorIs(t, r.Undo(t.Context()), backup.ErrBusy, "users may have entered something")
	require.NoError(t, w.db.Close(t.Context()))
	require.NoError(t, r.Undo(t.Context()))
	require.True(t, closed(), "what was brought back is closed")
}

// RESTRICTED_USER lets db_owner and sysadmins in.
func TestSessionsThatReturnAtOnce(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.db.Open(t.Context()))
	w.dbs[liveName].OwnerRole = []string{"app"}
	w.enter("app", liveName, -1)
	w.db.drain = 150 * time.Millisecond
	err := w.db.Close(t.Context())
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "app (asp)")
	require.ErrorContains(t, err, "ALTER ROLE [db_owner] DROP MEMBER of the user of [app]")
	closed, err := w.db.Closed(t.Context())
	require.NoError(t, err)
	require.False(t, closed, "a user is in")
	w.users = nil

	w.enter("sa", liveName, -1)
	err = w.db.Close(t.Context())
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "ALTER SERVER ROLE [sysadmin] DROP MEMBER [sa]")
	w.users = nil

	var warned []string
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			warned = append(warned, e.Text)
		}
	}
	w.enter("sa", liveName, 2)
	w.db.drain = 20 * time.Second
	require.NoError(t, w.db.Close(t.Context()), "it does not come back for ever")
	require.Len(t, warned, 1)
	require.Contains(t, warned[0], "a sysadmin was connected")
}

// A long transaction takes its time to be rolled back. KILL is not repeated.
func TestSessionThatEndsSlowly(t *testing.T) {
	w := newWorld(t)
	snap := w.take(t)
	w.enter("sa", liveName, 0)
	w.users[0].rollback = 5
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Empty(t, w.users)
}

// A sysadmin's session that comes back keeps a database from being renamed. The
// live data stays.
func TestSwapOfADatabaseThatStaysInUse(t *testing.T) {
	w := newWorld(t)
	snap := w.take(t)
	w.update()
	changed := w.state()
	w.enter("sa", liveName, -1)
	w.db.drain = 150 * time.Millisecond
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "stop that program: sa (asp)")
	require.Equal(t, changed, w.state())
	require.Empty(t, w.beside())
	w.users = nil
	w.enter("sa", liveName, 3)
	w.db.drain = 20 * time.Second
	_, err = w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err, "for a moment is fine")
}

func TestAnotherProgramHasTheLock(t *testing.T) {
	w := newWorld(t)
	w.locks["aspupdate "+liveName] = &simConn{s: w.sim}
	w.db.drain = 50 * time.Millisecond
	require.ErrorIs(t, w.db.Open(t.Context()), backup.ErrBusy)
	_, err := w.db.Closed(t.Context())
	require.NoError(t, err, "reading needs no lock")
}

// Options and owner that a restore resets, and users whose logins were made again,
// are as they were.
func TestRestoreKeepsWhatARestoreResets(t *testing.T) {
	w := newWorld(t)
	old := w.dbs[liveName].clone()
	snap := w.take(t)
	w.update()
	w.logins["clerk"] = "sid-clerk-2" // dropped and made again
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	got := w.dbs[liveName]
	require.Equal(t, old.Options, got.Options)
	require.Equal(t, "sa", got.Owner)
	require.True(t, got.Broker)
	require.False(t, got.Marked)
	require.Equal(t, "sid-clerk-2", got.Users["clerk"])
	require.Equal(t, "sid-gone", got.Users["orphan"], "one without a login stays without")
	for name, d := range w.dbs {
		if strings.Contains(name, "_aspupdate_old_") {
			require.False(t, d.Broker, "what is kept aside delivers no messages")
		}
	}
}

func TestRestoreNeedsTheLogins(t *testing.T) {
	w := newWorld(t)
	snap := w.take(t)
	delete(w.logins, "clerk")
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.ErrorIs(t, err, backup.ErrIncompatible)
	require.ErrorContains(t, err, "CREATE LOGIN [clerk]")
}

func TestRestoreOnAnotherServer(t *testing.T) {
	w := newWorld(t)
	old := w.state()
	snap := w.take(t)
	delete(w.dbs, liveName)
	w.server.name, w.server.data = "OTHER", `F:\Data\`
	w.db.Tested.Server = "OTHER"
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, old, w.state())
	for i, f := range w.dbs[liveName].Files {
		require.Regexp(t, fmt.Sprintf(`^F:\\Data\\asp___1_[0-9a-f]{12}_%d\.[mnl]df$`, i+1), f.Path)
	}
	w.server.version, w.db.Tested.Version = "15.0.2000.5", "15.0.2000.5 Developer Edition (64-bit)"
	_, err = w.store.Prove(t.Context(), snap.ID, w.db)
	require.ErrorIs(t, err, backup.ErrIncompatible)
	require.ErrorContains(t, err, "of that version or a newer one")
}

// What the server restores is compared with the manifest: a file that another account
// has put into the exchange directory is found out.
func TestReplacedOnItsWay(t *testing.T) {
	w := newWorld(t)
	snap := w.take(t)
	w.update()
	changed := w.state()
	for name, forge := range map[string]func(d *simDB){
		"a row":      func(d *simDB) { d.Tables["dbo.families"][0] = "9 forged" },
		"code":       func(d *simDB) { d.Code = append(d.Code, "CREATE TRIGGER evil") },
		"a user":     func(d *simDB) { d.Users["evil"] = "sid-app" },
		"an option":  func(d *simDB) { d.Options["recovery_model_desc"] = "BULK_LOGGED" },
		"a file":     func(d *simDB) { d.Files[0].Name = "other" },
		"more files": func(d *simDB) { d.Files = append(d.Files, file{Name: "x"}) },
		"damage":     func(d *simDB) { d.Damaged = true },
	} {
		t.Run(name, func(t *testing.T) {
			w.refuse = func(statement string) *mssql.Error {
				if !strings.HasPrefix(statement, "RESTORE VERIFYONLY") {
					return nil
				}
				for _, e := range w.left(t) {
					path := filepath.Join(w.db.Dir, e.Name())
					b, err := w.read(path)
					require.NoError(t, err)
					forge(b.DB)
					b.Sum = b.sum()
					text, _ := json.Marshal(b)
					require.NoError(t, os.WriteFile(path, text, 0o600))
				}
				return nil
			}
			_, err := w.store.Restore(t.Context(), snap.ID, w.db)
			if name == "damage" {
				require.ErrorIs(t, err, backup.ErrDamaged)
			} else {
				require.ErrorIs(t, err, backup.ErrMismatch)
			}
			require.Equal(t, changed, w.state())
			require.NotContains(t, w.beside(), "new")
			require.NoError(t, w.db.Tidy(t.Context())) // what differs was kept
			require.Empty(t, w.beside())
		})
	}
}

// Neither the hash in the manifest nor the server's own check is left out.
func TestFileIsChecked(t *testing.T) {
	w := newWorld(t)
	one := w.take(t)
	w.update()
	two := w.take(t)
	changed := w.state()
	dir, err := w.store.Path(two.ID)
	require.NoError(t, err)
	_, err = w.db.Restore(t.Context(), dir, one.Meta)
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.ErrorContains(t, err, "SHA-256")
	w.refuse = func(statement string) *mssql.Error {
		if strings.HasPrefix(statement, "RESTORE VERIFYONLY") {
			return &mssql.Error{Number: 3189, Message: "Damage to the backup set was detected."}
		}
		return nil
	}
	_, err = w.store.Take(t.Context(), "x", w.db)
	require.ErrorIs(t, err, backup.ErrDamaged)
	_, err = w.store.Restore(t.Context(), one.ID, w.db)
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.Equal(t, changed, w.state())
}

// A killed run leaves a file in the exchange directory. Files of others stay.
func TestExchangeIsCleaned(t *testing.T) {
	w := newWorld(t)
	s, err := w.db.connect(t.Context())
	require.NoError(t, err)
	s.close()
	for _, name := range []string{s.filePrefix() + "0123456789ab.bak", s.filePrefix() + "x.bak", "aspupdate-000000000000-0123456789ab.bak", "other.bak"} {
		require.NoError(t, os.WriteFile(filepath.Join(w.db.Dir, name), nil, 0o600))
	}
	require.NoError(t, w.db.Open(t.Context()))
	require.Len(t, w.left(t), 3)
	require.NoFileExists(t, filepath.Join(w.db.Dir, s.filePrefix()+"0123456789ab.bak"))
}

func TestErrorsOfTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		prefix string
		err    mssql.Error
		kind   error
	}{
		"no space for a backup":  {"BACKUP", mssql.Error{Number: 3202, Message: "Write on \"x\" failed: 112(There is not enough space on the disk.)"}, backup.ErrNoSpace},
		"no space for a restore": {"RESTORE DATABASE", mssql.Error{Number: 3257, Message: "There is insufficient free space"}, backup.ErrNoSpace},
		"no rights":              {"BACKUP", mssql.Error{Number: 262, Message: "BACKUP DATABASE permission denied"}, backup.ErrPermission},
		"a damaged page":         {"RESTORE DATABASE", mssql.Error{Number: 3183, Message: "RESTORE detected an error on page"}, backup.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			snap := w.take(t)
			before := w.state()
			w.refuse = func(statement string) *mssql.Error {
				if strings.HasPrefix(statement, c.prefix) {
					return &c.err
				}
				return nil
			}
			_, err := w.store.Take(t.Context(), "x", w.db)
			if c.prefix != "BACKUP" {
				require.NoError(t, err)
				_, err = w.store.Restore(t.Context(), snap.ID, w.db)
			}
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, c.err.Message)
			w.refuse = nil
			require.Equal(t, before, w.state())
			require.Empty(t, w.beside())
			require.Empty(t, w.left(t))
		})
	}
}

// A broker that cannot be enabled is a warning, and is tried again: Open must not fail.
func TestBrokerThatCannotBeEnabled(t *testing.T) {
	w := newWorld(t)
	var warned int
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			warned++
		}
	}
	snap := w.take(t)
	w.refuse = func(statement string) *mssql.Error {
		if strings.Contains(statement, " SET ENABLE_BROKER ") {
			return &mssql.Error{Number: 9772, Message: "cannot be enabled"}
		}
		return nil
	}
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.NoError(t, w.db.Open(t.Context()))
	require.GreaterOrEqual(t, warned, 2)
	require.False(t, w.dbs[liveName].Broker)
	w.refuse = nil
	require.NoError(t, w.db.Close(t.Context()))
	require.True(t, w.dbs[liveName].Broker)
	require.False(t, w.dbs[liveName].Marked)
}

func TestNeedsAndCounts(t *testing.T) {
	w := newWorld(t)
	needs, err := w.db.Needs(t.Context())
	require.NoError(t, err)
	require.Len(t, needs, 4)
	for _, n := range needs {
		require.EqualValues(t, 3*8<<20, n.Bytes)
	}
	counts, err := w.db.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"[dbo].[families]": 2, `[Схема "1"].[Таблица ]]1]`: 1, "[dbo].[empty]": 0}, counts)
}

func TestStoreWhereTheServerWritesIsRefused(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.db.Dir, "store")
	require.NoError(t, os.Mkdir(dir, 0o700))
	_, err := w.db.Backup(t.Context(), dir)
	require.ErrorContains(t, err, "move it elsewhere")
}

// Secrets are in no error, no event, no statement and no text of a target.
func TestPasswordIsNowhere(t *testing.T) {
	const secret = "s3cr3t"
	w := newWorld(t)
	var said strings.Builder
	w.db.Observe = func(e backup.Event) { said.WriteString(e.Text) }
	for _, uri := range []string{
		"sqlserver://maintenance:" + secret + "@db.example:1433?database=x&log=255", "sqlserver://maintenance:" + secret + "@db example:%zz",
		"server=db;user id=maintenance;password=" + secret + ";port=" + secret, "odbc:server=db;password={" + secret, "sqlserver://:" + secret + "@:x" + secret,
	} {
		d := *w.db
		d.URI = uri
		_, err := d.Check(context.Background())
		fmt.Fprintf(&said, "%v %+v %#v %s %v", d, d, d, d, err)
		b, err := json.Marshal(d)
		require.NoError(t, err)
		said.Write(b)
	}
	w.db.URI = "sqlserver://maintenance:" + secret + "@db.example:1433?database=x&log=255"
	snap := w.take(t)
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	manifest, err := json.Marshal(snap)
	require.NoError(t, err)
	said.Write(manifest)
	require.NotContains(t, said.String()+strings.Join(w.statements, "\n"), secret)
	require.Contains(t, fmt.Sprint(w.db), "mssql db.example:1433 "+liveName)
}

// A name is never more than a name.
func TestNamesAreQuoted(t *testing.T) {
	require.Equal(t, "[a]]b].[c'd]", ident("a]b", "c'd"))
	require.Equal(t, "N'it''s ]'", text("it's ]"))
	require.Equal(t, "ALTER USER [x]] WITH LOGIN = [sa]]--] WITH LOGIN = [y]", sqlMap("x] WITH LOGIN = [sa]--", "y"))
	require.Equal(t, "SELECT COUNT_BIG(*), CONVERT(bigint, ISNULL(CHECKSUM_AGG(BINARY_CHECKSUM([a]], (SELECT 1)], [b])), 0)) FROM [s].[t]", sqlSum("s", "t", []string{"a], (SELECT 1)", "b"}))
	require.Equal(t, "ALTER DATABASE [x] SET RESTRICTED_USER WITH ROLLBACK IMMEDIATE", sqlRestrict("x", -time.Second))
}

func TestManifestThatLacksSomething(t *testing.T) {
	w := newWorld(t)
	for _, detail := range []string{"", "{}", `{"database":"x","sha256":"../../x","files":[{}]}`, `[]`} {
		err := w.db.Prove(t.Context(), t.TempDir(), backup.Meta{Kind: kind, Detail: []byte(detail)})
		require.ErrorIs(t, err, backup.ErrIncompatible, detail)
	}
}

func TestSelfTest(t *testing.T) {
	w := newWorld(t)
	w.db.Tested = Tested{}
	live := w.state()
	record, err := w.db.SelfTest(t.Context())
	require.NoError(t, err)
	require.Equal(t, "SIM", record.Server)
	require.Equal(t, "16.0.4135.4 Developer Edition (64-bit)", record.Version)
	require.WithinDuration(t, time.Now(), record.Time, time.Hour)
	require.Equal(t, live, w.state())
	require.Len(t, w.dbs, len(system)+1, "everything is dropped")
	require.Empty(t, w.left(t))
	for _, batch := range append(append([]string{}, scratch...), change...) {
		require.Contains(t, w.statements, batch)
	}
	b, err := json.Marshal(record)
	require.NoError(t, err)
	var stored Tested
	require.NoError(t, json.Unmarshal(b, &stored))
	w.db.Tested = stored
	_, err = w.db.Check(t.Context())
	require.NoError(t, err)
}

// A server that does not do what the target relies on fails the self-test.
func TestSelfTestFails(t *testing.T) {
	for name, c := range map[string]struct {
		statement string // is refused once, when it comes for the nth time
		n         int
	}{
		"no database": {"CREATE DATABASE", 1}, "an object": {"CREATE TABLE dbo.heap", 1}, "the fence": {"ALTER DATABASE [aspupdate_selftest] SET RESTRICTED_USER", 1},
		"no backup": {"BACKUP DATABASE [aspupdate_selftest]", 1}, "no proof": {"RESTORE DATABASE", 1}, "no restore": {"RESTORE DATABASE", 2}, "no owner's rights": {sqlAsOwner, 1},
		"no rename": {"ALTER DATABASE [aspupdate_selftest] MODIFY NAME", 1}, "no undo": {"ALTER DATABASE [aspupdate_selftest] MODIFY NAME", 2}, "no options": {"ALTER DATABASE [aspupdate_selftest_aspupdate_new", 3},
		"no broker": {"ALTER DATABASE [aspupdate_selftest] SET ENABLE_BROKER", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := 0
			w.refuse = func(statement string) *mssql.Error {
				if strings.HasPrefix(statement, c.statement) {
					if n++; n >= c.n && (n == c.n || name == "no broker") {
						return &mssql.Error{Number: 50000, Class: 16, Message: "refused"}
					}
				}
				return nil
			}
			_, err := w.db.SelfTest(t.Context())
			require.Error(t, err)
			require.GreaterOrEqual(t, n, c.n)
			require.Len(t, w.dbs, len(system)+1, "everything is dropped")
			require.Empty(t, w.left(t))
		})
	}
}
