package mssql

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
)

// The server of these tests is a model of SQL Server at the level of
// database/sql/driver, made from Microsoft's documentation: no machine of ours runs the
// real one. It knows the statements of this package and no others. Each behavior names
// the page of learn.microsoft.com/sql that it is from; what the documentation leaves
// open is modeled as the worse of the possibilities.

// A simDB is a database.
type simDB struct {
	ID                   int    // the lowest that is free: IDs are used again
	GUID                 string // see identity
	Created              int    // also by a rename
	State, Access, Owner string // Owner is a login; RESTORE makes it who restores
	ReadOnly, Broker     bool
	BrokerID             string
	Options              map[string]string
	Files                []file
	Users                map[string]string // by name: the SID of the login
	OwnerRole            []string          // logins of members of db_owner
	Tables               map[string][]string
	Code                 []string
	Triggers             map[string]bool // of the database itself: whether they are enabled
	Marked               bool            // has the extended property of this package
	Scratch              bool            // and that of a SelfTest
	Foreign              bool            // of somebody else
	Obstacles            [7]int
	Keys                 []string // certificates without a copy
	Damaged              bool     // in a way that only DBCC CHECKDB finds
}

func (d *simDB) clone() *simDB {
	b, _ := json.Marshal(d)
	var c simDB
	_ = json.Unmarshal(b, &c)
	return &c
}

// data describes what a backup keeps.
func (d *simDB) data() string {
	c := d.clone()
	c.ID, c.GUID, c.Created, c.State, c.Access, c.Files, c.Marked = 0, "", 0, "", "", nil, false
	if d.Marked { // the next call of this package finishes that
		c.Broker = true
	}
	b, _ := json.MarshalIndent(c, "", " ")
	return string(b)
}

// When a fault happens.
type when int

const (
	never  when = iota
	before      // the statement does not reach the server
	during      // the server is interrupted in it, where it has states in between
	after       // the server carries it out, and the answer is lost
)

// A simUser is a session of somebody else.
type simUser struct {
	id       int
	login    string
	db       string
	returns  int // how many more times it comes back at once
	sysadmin bool
	since    int
	rollback int // how many times it is listed after KILL: a long transaction is rolled back
	ending   bool
}

// sim is the server.
type sim struct {
	mu         sync.Mutex
	server     server
	dbs        map[string]*simDB
	logins     map[string]string // SIDs
	sysadmins  map[string]bool
	dir        func(path string) string // of the server's path to this machine's
	conns      map[*simConn]bool
	users      []*simUser
	locks      map[string]*simConn
	ids        int
	refuse     func(statement string) *mssql.Error
	statements []string
	violations []string               // reads of what belongs to others, with rights outside it; changes of a database that is known by its name alone
	interlude  func(statement string) // what others do before a changing statement
	upgrade    func(d *simDB)         // what a restore changes, as that of an older version's backup does

	n     int // changing statements so far
	at    int // the one that meets the fault
	mode  when
	kills bool // the fault ends the program, and not the connection alone
	dead  bool
	met   string // the statement that met it
}

func newSim() *sim {
	s := &sim{
		server: server{name: "SIM", version: "16.0.4135.4", edition: "Developer Edition (64-bit)", engine: 3, login: "maintenance", sysadmin: 1, data: `C:\Data\`},
		dbs:    map[string]*simDB{}, logins: map[string]string{}, sysadmins: map[string]bool{"maintenance": true, "sa": true},
		conns: map[*simConn]bool{}, locks: map[string]*simConn{}, dir: func(p string) string { return p },
	}
	for _, l := range []string{"sa", "maintenance", "app", "clerk"} {
		s.logins[l] = "sid-" + l
	}
	for i, name := range system {
		s.dbs[name] = &simDB{ID: i + 1, State: online, Access: multi, Owner: "sa", Options: map[string]string{}, Files: []file{{Name: name, Path: `C:\Data\` + name + `.mdf`}}}
	}
	return s
}

// add adds a database like that of an application.
func (s *sim) add(name string) *simDB {
	options := map[string]string{}
	for _, c := range optionColumns {
		options[c] = "0"
	}
	options["recovery_model_desc"], options["compatibility_level"], options["collation_name"] = "FULL", "110", "Cyrillic_General_CI_AS"
	options[optionTrust], options[optionChain] = "1", "1"
	d := &simDB{
		State: online, Access: multi, Owner: "sa", Broker: true, BrokerID: "broker of " + name, Options: options,
		Files:  []file{{Name: "asp", Path: `D:\Data\` + name + `.mdf`}, {Name: "asp more", Path: `E:\Data\` + name + `.ndf`}, {Name: "asp_log", Path: `L:\` + name + `.ldf`, Log: true}},
		Users:  map[string]string{"clerk": "sid-clerk", "orphan": "sid-gone"},
		Tables: map[string][]string{"dbo.families": {"1 Ёжикова", "2 O'Neil"}, "Схема \"1\".Таблица ]1": {"5"}, "dbo.empty": {}},
		Code:   []string{"CREATE VIEW …", "CREATE TRIGGER …"}, Triggers: map[string]bool{"audit ]": true, "not any more": false, "x": true},
	}
	s.dbs[name] = s.born(d)
	return d
}

// born gives a new database what identifies it: sys.databases, database_id and create_date;
// sys.database_recovery_status, database_guid.
func (s *sim) born(d *simDB) *simDB {
	d.ID = 1
	for slices.ContainsFunc(slices.Collect(maps.Values(s.dbs)), func(o *simDB) bool { return o.ID == d.ID }) {
		d.ID++
	}
	s.ids++
	d.GUID, d.Created = fmt.Sprintf("0F9619FF-8B86-D011-B42D-%012X", s.ids), s.ids
	return d
}

func fault(n int32, form string, args ...any) error { return message(n, form, args...) }

func message(n int32, form string, args ...any) mssql.Error {
	return mssql.Error{Number: n, Class: 16, Message: fmt.Sprintf(form, args...)}
}

// failed as BACKUP and RESTORE end: a second error after the first.
func (s *sim) terminated(n int32, what, form string, args ...any) error {
	e := message(n, form, args...)
	last := message(3013, "%s is terminating abnormally.", what)
	last.All = []mssql.Error{e, last}
	return last
}

// connector returns what a Database uses instead of the driver.
func (s *sim) connector(cfg msdsn.Config) (driver.Connector, error) { return simConnector{s, cfg}, nil }

type simConnector struct {
	s   *sim
	cfg msdsn.Config
}

func (c simConnector) Driver() driver.Driver { return nil }

var errLost = errors.New("the connection was lost")

func (c simConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil, errLost
	}
	d := s.dbs[c.cfg.Database]
	// Only qualified users get into a restricted database; our login is one.
	// t-sql/statements/alter-database-transact-sql-set-options, RESTRICTED_USER.
	if d == nil || d.State != online {
		return nil, fault(4060, "Cannot open database %q requested by the login. The login failed.", c.cfg.Database)
	}
	if d.Access == single && s.inUse(nil, c.cfg.Database) {
		return nil, fault(924, "Database '%s' is already open and can only have one user at a time.", c.cfg.Database)
	}
	s.ids++
	conn := &simConn{s: s, id: s.ids, db: c.cfg.Database}
	s.conns[conn] = true
	return conn, nil
}

// A simConn is a connection of this package.
type simConn struct {
	s       *sim
	id      int
	db      string
	broken  bool
	sandbox bool // acts as the owner of the database
}

func (c *simConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not modeled") }
func (c *simConn) Begin() (driver.Tx, error)           { return nil, errors.New("not modeled") }
func (c *simConn) Close() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.gone()
	return nil
}

// gone is the end of a session, with its locks: relational-databases/system-stored-procedures/sp-getapplock.
func (c *simConn) gone() {
	c.broken = true
	delete(c.s.conns, c)
	for name, holder := range c.s.locks {
		if holder == c {
			delete(c.s.locks, name)
		}
	}
}

func (c *simConn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	_, err := c.run(ctx, statement, args)
	return driver.RowsAffected(0), err
}

func (c *simConn) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.run(ctx, statement, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

type simRows struct {
	columns []string
	rows    [][]driver.Value
}

func (r *simRows) Columns() []string { return r.columns }
func (r *simRows) Close() error      { return nil }
func (r *simRows) Next(to []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(to, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

func one(values ...driver.Value) *simRows { return many(values) }

func many(rows ...[]driver.Value) *simRows {
	r := &simRows{rows: rows}
	if len(rows) > 0 {
		r.columns = make([]string, len(rows[0]))
	}
	for i, row := range r.rows {
		for j, v := range row {
			if n, ok := v.(int); ok {
				r.rows[i][j] = int64(n)
			}
		}
	}
	return r
}

func (c *simConn) run(ctx context.Context, statement string, args []driver.NamedValue) (*simRows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.broken || s.dead {
		return nil, driver.ErrBadConn
	}
	changes := !strings.HasPrefix(statement, "SELECT") && !strings.HasPrefix(statement, "WITH r (id)") && statement != sqlAsOwner && statement != sqlLock && statement != sqlCheckDB &&
		!strings.HasPrefix(statement, "RESTORE VERIFYONLY") && !strings.HasPrefix(statement, "RESTORE FILELISTONLY")
	mode := never
	if changes {
		s.n++
		if s.n == s.at {
			mode, s.met = s.mode, statement
		}
		if s.interlude != nil {
			s.interlude(statement)
		}
	}
	if mode == before {
		return nil, c.lose()
	}
	guard, statement := unguard(statement)
	s.statements = append(s.statements, statement)
	if s.refuse != nil {
		if e := s.refuse(statement); e != nil {
			return nil, *e
		}
	}
	rows, err := s.guarded(c, guard, statement, args, mode == during)
	if mode != never {
		return nil, c.lose()
	}
	if c.broken { // ended by the statement
		return nil, errLost
	}
	return rows, err
}

// A batch of this package begins with what must hold.
var (
	formGuard = regexp.MustCompile(`^IF NOT EXISTS \(SELECT 1 FROM sys\.databases d LEFT JOIN sys\.database_recovery_status r ON r\.database_id = d\.database_id
	WHERE d\.name = ` + reText + ` AND d\.database_id = (\d+) AND CONVERT\(nvarchar\(30\), d\.create_date, 126\) = N'(\d*)' AND \(r\.database_guid IS NULL OR CONVERT\(nvarchar\(36\), r\.database_guid\) = N'([-0-9A-F]*)'\)\)
	BEGIN; THROW 51001, N'another database has this name', 1; END;
`)
	formChange = regexp.MustCompile(`^(DROP DATABASE|ALTER DATABASE|ALTER AUTHORIZATION)`)
)

// unguard splits a batch into what must hold and the statement.
func unguard(batch string) (guard [][]string, statement string) {
	for {
		m := formGuard.FindStringSubmatch(batch)
		if m == nil {
			return guard, batch
		}
		guard, batch = append(guard, m), batch[len(m[0]):]
	}
}

// guarded runs a statement unless its guard fails: t-sql/language-elements/throw ends the batch.
func (s *sim) guarded(c *simConn, guard [][]string, statement string, args []driver.NamedValue, half bool) (*simRows, error) {
	if formChange.MatchString(statement) && len(guard) == 0 {
		s.violations = append(s.violations, "not guarded: "+statement)
	}
	for _, m := range guard {
		d := s.dbs[unquote(m[1])]
		if d == nil || fmt.Sprint(d.ID) != m[2] || fmt.Sprint(d.Created) != m[3] || d.State == online && d.GUID != m[4] {
			return nil, fault(51001, "another database has this name")
		}
	}
	return s.answer(c, statement, args, half)
}

// lose is what happens to the program at a fault.
func (c *simConn) lose() error {
	c.gone()
	if c.s.kills {
		c.s.dead = true
	}
	return errLost
}

// reborn is the next start of the program: its sessions have ended.
func (s *sim) reborn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.gone()
	}
	s.dead, s.at, s.mode = false, 0, never
}

// fail has the n-th changing statement from now on meet a fault.
func (s *sim) fail(n int, mode when, kills bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.mode, s.kills, s.met = s.n+n, mode, kills, ""
}

const (
	reIdent = `(\[(?:[^\]]|\]\])*\])`
	reText  = `(N'(?:[^']|'')*')`
)

func unquote(q string) string {
	if strings.HasPrefix(q, "[") {
		return strings.ReplaceAll(q[1:len(q)-1], "]]", "]")
	}
	return strings.ReplaceAll(q[2:len(q)-1], "''", "'")
}

// forms are the statements with names in them.
var forms = []struct {
	form *regexp.Regexp
	do   func(s *sim, c *simConn, m []string, half bool) (*simRows, error)
}{
	{regexp.MustCompile(`^ALTER DATABASE ` + reIdent + ` SET RESTRICTED_USER WITH ROLLBACK (?:IMMEDIATE|AFTER [1-9]\d* SECONDS)$`), (*sim).restrict},
	{regexp.MustCompile(`^ALTER DATABASE ` + reIdent + ` SET SINGLE_USER WITH ROLLBACK IMMEDIATE$`), (*sim).alone},
	{regexp.MustCompile(`^ALTER DATABASE ` + reIdent + ` SET MULTI_USER$`), (*sim).admit},
	{regexp.MustCompile(`^ALTER DATABASE ` + reIdent + ` MODIFY NAME = ` + reIdent + `$`), (*sim).rename},
	{regexp.MustCompile(`^ALTER DATABASE ` + reIdent + ` SET (TRUSTWORTHY|DB_CHAINING|AUTO_UPDATE_STATISTICS_ASYNC) (ON|OFF)$`), (*sim).set},
	{regexp.MustCompile(`^ALTER DATABASE ` + reIdent + ` SET (ENABLE|DISABLE)_BROKER WITH ROLLBACK IMMEDIATE$`), (*sim).broker},
	{regexp.MustCompile(`^ALTER AUTHORIZATION ON DATABASE::` + reIdent + ` TO ` + reIdent + `$`), (*sim).authorize},
	{regexp.MustCompile(`^DROP DATABASE ` + reIdent + `$`), (*sim).drop},
	{regexp.MustCompile(`^CREATE DATABASE ` + reIdent + `$`), (*sim).create},
	{regexp.MustCompile(`^KILL (\d+)$`), (*sim).kill},
	{regexp.MustCompile(`^BACKUP DATABASE ` + reIdent + ` TO DISK = ` + reText + ` WITH COPY_ONLY, FORMAT, INIT, CHECKSUM, STOP_ON_ERROR, (NO_COMPRESSION|COMPRESSION)$`), (*sim).backup},
	{regexp.MustCompile(`^RESTORE VERIFYONLY FROM DISK = ` + reText + ` WITH CHECKSUM, STOP_ON_ERROR$`), (*sim).verify},
	{regexp.MustCompile(`^RESTORE FILELISTONLY FROM DISK = ` + reText + `$`), (*sim).fileList},
	{regexp.MustCompile(`^RESTORE DATABASE ` + reIdent + ` FROM DISK = ` + reText + ` WITH CHECKSUM, STOP_ON_ERROR, RESTRICTED_USER, RECOVERY((?:, MOVE ` + reText + ` TO ` + reText + `)+)$`), (*sim).restore},
	{regexp.MustCompile(`^SELECT u\.name, l\.name FROM ` + reIdent + `\.sys\.database_principals`), (*sim).listUsers},
	{regexp.MustCompile(`^SELECT COUNT\(\*\) FROM ` + reIdent + `\.sys\.extended_properties WHERE class = 0 AND name = ` + reText + `$`), (*sim).marked},
}

// In a database, as its owner.
var (
	formSum     = regexp.MustCompile(`^SELECT COUNT_BIG\(\*\), CONVERT\(bigint, (.*)\) FROM ` + reIdent + `\.` + reIdent + `$`)
	formMap     = regexp.MustCompile(`^ALTER USER ` + reIdent + ` WITH LOGIN = ` + reIdent + `$`)
	formTrigger = regexp.MustCompile(`^CREATE TRIGGER (\w+) ON DATABASE`)
	oneIdent    = regexp.MustCompile(reIdent)
	formAs      = regexp.MustCompile(`^EXECUTE AS USER = N'((?:[^']|'')*)' WITH NO REVERT$`) // the program's
	formSet     = regexp.MustCompile(`^(DISABLE|ENABLE) TRIGGER (` + reIdent + `(?:, ` + reIdent + `)*) ON DATABASE$`)
)

func (s *sim) answer(c *simConn, statement string, args []driver.NamedValue, half bool) (*simRows, error) {
	arg := func() string { return args[0].Value.(string) }
	switch statement {
	case sqlServer:
		v := s.server
		return one(v.name, v.version, v.edition, v.engine, v.login, v.sysadmin, v.data), nil
	case `SELECT CONVERT(nvarchar(256), ISNULL(SERVERPROPERTY('ServerName'), N'')), CONVERT(nvarchar(128), ISNULL(SERVERPROPERTY('Collation'), N''))`: // the program's
		return one(s.server.name, "Cyrillic_General_CI_AS"), nil
	case sqlLock:
		// relational-databases/system-stored-procedures/sp-getapplock: -1 if it cannot be granted at once.
		if holder := s.locks[arg()]; holder != nil && holder != c {
			return one(-1), nil
		}
		s.locks[arg()] = c
		return one(0), nil
	case sqlNames:
		r := &simRows{columns: []string{"name"}}
		for name := range s.dbs {
			r.rows = append(r.rows, []driver.Value{name})
		}
		return r, nil
	case sqlLogin:
		return one(truth(s.logins[arg()] != "")), nil
	case sqlStatus:
		d := s.dbs[arg()]
		if d == nil {
			return &simRows{columns: make([]string, 8)}, nil
		}
		guid := d.GUID
		if d.State != online {
			guid = "" // the view has NULL
		}
		owner := d.Owner
		if s.logins[owner] == "" {
			owner = ""
		}
		return one(d.ID, fmt.Sprint(d.Created), guid, d.State, d.Access, truth(d.ReadOnly), owner, truth(d.Broker)), nil
	case sqlObstacles:
		var row []driver.Value
		for _, o := range s.dbs[arg()].Obstacles {
			row = append(row, int64(o))
		}
		return many(row), nil
	case sqlLogShipping:
		return nil, fault(errNoObject, "Invalid object name 'msdb.dbo.log_shipping_primary_databases'.")
	case sqlKeys:
		r := &simRows{columns: []string{"name"}}
		for _, k := range s.dbs[arg()].Keys {
			r.rows = append(r.rows, []driver.Value{k})
		}
		return r, nil
	case sqlFiles:
		r := &simRows{columns: make([]string, 4)}
		for _, f := range s.dbs[arg()].Files {
			r.rows = append(r.rows, []driver.Value{f.Name, f.Path, int64(truth(f.Log)), int64(8 << 20)})
		}
		return r, nil
	case sqlOptions():
		r := &simRows{columns: make([]string, 2)}
		for _, name := range optionColumns {
			r.rows = append(r.rows, []driver.Value{name, s.dbs[arg()].Options[name]})
		}
		return r, nil
	case sqlSessions:
		r := &simRows{columns: make([]string, 5)}
		name := ""
		for n, d := range s.dbs {
			if int64(d.ID) == args[0].Value.(int64) {
				name = n
			}
		}
		for other := range s.conns {
			if other != c && other.db == name {
				r.rows = append(r.rows, []driver.Value{int64(other.id), "now", s.server.login, "aspupdate", int64(1)})
			}
		}
		for _, u := range slices.Clone(s.users) {
			if u.ending {
				if u.rollback--; u.rollback < 0 {
					s.users = slices.DeleteFunc(s.users, func(o *simUser) bool { return o == u })
					continue
				}
			}
			if u.db == name {
				r.rows = append(r.rows, []driver.Value{int64(u.id), fmt.Sprint(u.since), u.login, "asp", int64(truth(u.sysadmin))})
			}
		}
		return r, nil
	}
	if strings.HasPrefix(statement, "WITH r (id)") {
		d, r := s.dbs[arg()], &simRows{columns: []string{"name"}}
		for _, login := range append(slices.Clone(d.OwnerRole), d.Owner) {
			if !s.sysadmins[login] && s.logins[login] != "" {
				r.rows = append(r.rows, []driver.Value{login})
			}
		}
		return r, nil
	}
	for _, f := range forms {
		m := f.form.FindStringSubmatch(statement)
		if m == nil {
			continue
		}
		// Impersonated by USER, a session cannot leave its database: t-sql/statements/execute-as, USER.
		if c.sandbox {
			return nil, fault(916, "The server principal is not able to access the database under the current security context.")
		}
		return f.do(s, c, m, half)
	}
	return s.inDatabase(c, statement)
}

// inDatabase runs what is run in a database.
func (s *sim) inDatabase(c *simConn, statement string) (*simRows, error) {
	d := s.dbs[c.db]
	if d == nil {
		return nil, fault(911, "Database %q does not exist.", c.db)
	}
	if statement == sqlAsOwner {
		if s.logins[d.Owner] == "" {
			return nil, fault(15517, `Cannot execute as the database principal because the principal "dbo" does not exist.`)
		}
		c.sandbox = true
		return many(), nil
	}
	if m := formAs.FindStringSubmatch(statement); m != nil {
		// t-sql/statements/execute-as: the user must exist in the database.
		if _, ok := d.Users[strings.ReplaceAll(m[1], "''", "'")]; !ok {
			return nil, fault(15517, "Cannot execute as the database principal because the principal %q does not exist, this type of principal cannot be impersonated, or you do not have permission.", m[1])
		}
		c.sandbox = true
		return many(), nil
	}
	// A batch goes on after such an error: t-sql/language-elements/try-catch-transact-sql, and t-sql/statements/set-xact-abort-transact-sql.
	if first, rest, ok := strings.Cut(statement, ";\n"); ok {
		_, failed := s.inDatabase(c, first)
		rows, err := s.inDatabase(c, rest)
		return rows, cmp.Or(failed, err)
	}
	alone := d.Access == single && (statement == sqlTriggers || formSet.MatchString(statement))
	ours := alone || statement == sqlMarkScratch || slices.Contains(scratch, statement) || slices.Contains(change, statement) || strings.HasPrefix(statement, testPrefix)
	if !c.sandbox && !ours {
		s.violations = append(s.violations, statement)
	}
	if m := formSum.FindStringSubmatch(statement); m != nil {
		rows, ok := d.Tables[unquote(m[2])+"."+unquote(m[3])]
		if !ok {
			return nil, fault(errNoObject, "Invalid object name.")
		}
		sum := int64(0)
		if m[1] != "0" {
			sum = int64(crc32.ChecksumIEEE([]byte(strings.Join(rows, "\n"))))
		}
		return one(len(rows), sum), nil
	}
	if m := formMap.FindStringSubmatch(statement); m != nil {
		d.Users[unquote(m[1])] = s.logins[unquote(m[2])]
		return many(), nil
	}
	if m := formSet.FindStringSubmatch(statement); m != nil {
		for _, name := range oneIdent.FindAllString(m[2], -1) {
			if _, ok := d.Triggers[unquote(name)]; !ok {
				return nil, fault(4902, "Cannot find the object %q.", name)
			}
			d.Triggers[unquote(name)] = m[1] == "ENABLE"
		}
		return many(), nil
	}
	for of, queries := range catalog {
		switch slices.Index(queries, statement) {
		case -1:
		case 0:
			return d.list(of), nil
		default:
			return many(), nil
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range d.Tables {
			if !yield(name) {
				return
			}
		}
	})
	switch statement {
	case "SELECT version FROM about": // the program's
		versions := d.Tables["dbo.updated"]
		if len(versions) == 0 {
			return nil, fault(errNoObject, "Invalid object name 'about'.")
		}
		return one(versions[len(versions)-1]), nil
	case sqlCheckDB:
		// t-sql/database-console-commands/dbcc-checkdb: errors are messages of the statement.
		if d.Damaged {
			return nil, fault(8928, "Object ID 1: Page (1:2) could not be processed.")
		}
		return many(), nil
	case sqlMark, sqlUnmark:
		if on := statement == sqlMark; d.Marked == on {
			return nil, fault(15233, "Property cannot be added, or does not exist.")
		}
		d.Marked = statement == sqlMark
		return many(), nil
	case sqlMarkScratch:
		d.Scratch = true
		return many(), nil
	case sqlTriggers:
		r := &simRows{columns: []string{"name"}}
		for _, name := range d.enabled() {
			r.rows = append(r.rows, []driver.Value{name})
		}
		return r, nil
	case sqlTables:
		r := &simRows{columns: make([]string, 3)}
		for i, name := range names {
			schema, table, _ := strings.Cut(name, ".")
			r.rows = append(r.rows, []driver.Value{int64(i), schema, table})
		}
		return r, nil
	case sqlColumns:
		r := &simRows{columns: make([]string, 2)}
		for i := range names {
			r.rows = append(r.rows, []driver.Value{int64(i), "row ]"}, []driver.Value{int64(i), "id"})
		}
		return r, nil
	}
	if ours {
		word, _, _ := strings.Cut(strings.TrimPrefix(statement, testPrefix), " ")
		switch word {
		case "INSERT", "UPDATE", "DELETE":
			d.Tables["dbo.log"] = append(d.Tables["dbo.log"], statement)
		default:
			d.Code = append(d.Code, statement)
			if m := formTrigger.FindStringSubmatch(statement); m != nil {
				d.Triggers[m[1]] = true
			}
		}
		return many(), nil
	}
	return nil, fault(102, "Incorrect syntax, or not modeled: %s", statement)
}

// list returns a part of the catalog.
func (d *simDB) list(of string) *simRows {
	r := &simRows{columns: []string{"line"}}
	add := func(line string) { r.rows = append(r.rows, []driver.Value{line}) }
	switch of {
	case "code":
		for _, code := range d.Code {
			add(code)
		}
		add(fmt.Sprint(d.Triggers))
	case "principals":
		for u := range d.Users {
			add(u)
		}
	case "objects":
		for t := range d.Tables {
			add(t)
		}
	default: // each of them notices that the structure has changed
		add(fmt.Sprint(of, len(d.Code)))
	}
	return r
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// inUse reports whether others than c are on the database.
func (s *sim) inUse(c *simConn, name string) bool {
	for other := range s.conns {
		if other != c && other.db == name {
			return true
		}
	}
	return slices.ContainsFunc(s.users, func(u *simUser) bool { return u.db == name })
}

// get returns a database that can be changed. System databases cannot:
// relational-databases/databases/rename-a-database, t-sql/statements/drop-database.
func (s *sim) get(q string) (string, *simDB, error) {
	name := unquote(q)
	d := s.dbs[name]
	if d == nil {
		return name, nil, fault(5011, "User does not have permission to alter database '%s', the database does not exist, or the database is not in a state that allows access checks.", name)
	}
	if slices.Contains(system, name) {
		return name, nil, fault(5058, "Option cannot be set in database '%s'.", name)
	}
	if d.State != online {
		return name, nil, fault(5052, "ALTER DATABASE is not permitted while a database is in the %s state.", d.State)
	}
	return name, d, nil
}

// restrict: alter-database-transact-sql-set-options, RESTRICTED_USER and <termination>.
// The page says that all connections are ended; that of a qualified user stays here.
func (s *sim) restrict(_ *simConn, m []string, _ bool) (*simRows, error) {
	name, d, err := s.get(m[1])
	if err != nil {
		return nil, err
	}
	d.Access = restricted
	s.users = slices.DeleteFunc(s.users, func(u *simUser) bool { return u.db == name && !s.qualified(u, d) })
	return many(), nil
}

// qualified: members of db_owner, dbcreator and sysadmin, and the owner.
func (s *sim) qualified(u *simUser, d *simDB) bool {
	return u.sysadmin || d.Owner == u.login || slices.Contains(d.OwnerRole, u.login)
}

const single = "SINGLE_USER"

// alone: alter-database-transact-sql-set-options, SINGLE_USER. All sessions are ended but that which
// runs it, which is the one if it is in the database; else the next one that comes. The same
// page requires AUTO_UPDATE_STATISTICS_ASYNC to be off, or its thread takes the place.
func (s *sim) alone(c *simConn, m []string, _ bool) (*simRows, error) {
	name, d, err := s.get(m[1])
	if err != nil {
		return nil, err
	}
	if c.db != name || d.Options[optionAsync] == "1" {
		s.violations = append(s.violations, "others can be the single user of "+name)
	}
	d.Access = single
	s.users = slices.DeleteFunc(s.users, func(u *simUser) bool { return u.db == name })
	for other := range s.conns {
		if other != c && other.db == name {
			other.gone()
		}
	}
	return many(), nil
}

// plants has a login make a trigger of the database, and reports whether it could: as a member of
// db_owner, or the owner, it can be in a restricted database, and not in one that has its single user.
func (s *sim) plants(login, database string) bool {
	d := s.dbs[database]
	if d.State != online || d.Access == single && s.inUse(nil, database) || d.Owner != login && !slices.Contains(d.OwnerRole, login) {
		return false
	}
	d.Triggers["planted"] = true
	return true
}

func (s *sim) admit(_ *simConn, m []string, _ bool) (*simRows, error) {
	_, d, err := s.get(m[1])
	if err == nil {
		d.Access = multi
	}
	return many(), err
}

// rename: relational-databases/databases/rename-a-database. Not while others use it; the files keep
// their names.
func (s *sim) rename(c *simConn, m []string, _ bool) (*simRows, error) {
	name, d, err := s.get(m[1])
	if err != nil {
		return nil, err
	}
	to := unquote(m[2])
	switch {
	case s.dbs[to] != nil:
		return nil, fault(1801, "Database '%s' already exists.", to)
	case s.inUse(c, name):
		return nil, fault(errNotExclusive, "The database could not be exclusively locked to perform the operation.")
	}
	delete(s.dbs, name)
	s.dbs[to] = d
	s.ids++
	d.Created = s.ids
	return many(), nil
}

func (s *sim) set(_ *simConn, m []string, _ bool) (*simRows, error) {
	_, d, err := s.get(m[1])
	if err != nil {
		return nil, err
	}
	value := fmt.Sprint(truth(m[3] == "ON"))
	// TRUSTWORTHY is a sysadmin's: relational-databases/security/trustworthy-database-property.
	d.Options[map[string]string{"TRUSTWORTHY": optionTrust, "DB_CHAINING": optionChain, "AUTO_UPDATE_STATISTICS_ASYNC": optionAsync}[m[2]]] = value
	return many(), nil
}

// broker: alter-database-transact-sql-set-options, <service_broker_option>. ENABLE_BROKER needs the
// database alone; two databases with one identifier cannot both have it enabled (error 9772).
func (s *sim) broker(c *simConn, m []string, _ bool) (*simRows, error) {
	name, d, err := s.get(m[1])
	if err != nil {
		return nil, err
	}
	if m[2] == "ENABLE" {
		for _, other := range s.dbs {
			if other != d && other.Broker && other.BrokerID == d.BrokerID {
				return nil, fault(9772, "The Service Broker in database %q cannot be enabled because there is already an enabled Service Broker with the same ID.", name)
			}
		}
	}
	s.users = slices.DeleteFunc(s.users, func(u *simUser) bool { return u.db == name && u.returns == 0 })
	if s.inUse(c, name) {
		return nil, fault(errNotExclusive, "The database could not be exclusively locked to perform the operation.")
	}
	d.Broker = m[2] == "ENABLE"
	return many(), nil
}

func (s *sim) authorize(_ *simConn, m []string, _ bool) (*simRows, error) {
	_, d, err := s.get(m[1])
	if err != nil {
		return nil, err
	}
	login := unquote(m[2])
	if s.logins[login] == "" {
		return nil, fault(15151, "Cannot find the principal '%s'.", login)
	}
	// relational-databases/triggers/ddl-events: ALTER_AUTHORIZATION_DATABASE, one with database scope.
	for _, name := range d.enabled() {
		s.violations = append(s.violations, "the trigger "+name+" with the rights of the login that changes the owner")
	}
	d.Owner = login
	return many(), nil
}

// enabled returns the triggers of the database that are.
func (d *simDB) enabled() (names []string) {
	for name, on := range d.Triggers {
		if on {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// drop: t-sql/statements/drop-database. In any state, not while it is used, and not a system database.
func (s *sim) drop(c *simConn, m []string, _ bool) (*simRows, error) {
	name := unquote(m[1])
	switch {
	case s.dbs[name] == nil:
		return nil, fault(3701, "Cannot drop the database '%s', because it does not exist.", name)
	case slices.Contains(system, name):
		return nil, fault(3708, "Cannot drop the database '%s' because it is a system database.", name)
	case s.inUse(c, name):
		return nil, fault(errInUse, "Cannot drop database %q because it is currently in use.", name)
	}
	delete(s.dbs, name)
	return many(), nil
}

func (s *sim) create(_ *simConn, m []string, _ bool) (*simRows, error) {
	name := unquote(m[1])
	if s.dbs[name] != nil {
		return nil, fault(1801, "Database '%s' already exists.", name)
	}
	d := s.add(name)
	d.Owner, d.Users, d.Tables, d.Code = s.server.login, map[string]string{}, map[string][]string{"dbo.log": {}}, nil
	d.Triggers = map[string]bool{}
	return many(), nil
}

// kill: t-sql/language-elements/kill. Not one's own session.
func (s *sim) kill(c *simConn, m []string, _ bool) (*simRows, error) {
	var id int
	_, _ = fmt.Sscan(m[1], &id)
	if id == c.id {
		return nil, fault(6104, "Cannot use KILL to kill your own process.")
	}
	for other := range s.conns {
		if other.id == id {
			other.gone()
			return many(), nil
		}
	}
	for i, u := range s.users {
		if u.id != id {
			continue
		}
		if u.ending { // the page advises against a second KILL: the number can be another's by then
			s.violations = append(s.violations, "KILL of a session that is ending")
		}
		if u.rollback > 0 {
			u.ending = true
			return many(), nil
		}
		if d := s.dbs[u.db]; u.returns != 0 && (d.Access == multi || s.qualified(u, d)) {
			u.returns--
			s.ids++
			u.id, u.since = s.ids, u.since+1
		} else {
			s.users = slices.Delete(s.users, i, i+1)
		}
		return many(), nil
	}
	return nil, fault(errNoProcess, "Process ID %d is not an active process ID.", id)
}

// A simBackup is what is in a backup file.
type simBackup struct {
	Major int
	Sum   uint32
	DB    *simDB
}

func (b simBackup) sum() uint32 {
	b.Sum = 0
	text, _ := json.Marshal(b)
	return crc32.ChecksumIEEE(text)
}

// backup: t-sql/statements/backup. The server's account writes the file; COPY_ONLY, FORMAT and INIT
// replace one; an edition that cannot compress fails (error 1844).
func (s *sim) backup(_ *simConn, m []string, half bool) (*simRows, error) {
	d := s.dbs[unquote(m[1])]
	if d == nil {
		return nil, fault(911, "Database '%s' does not exist.", unquote(m[1]))
	}
	if m[3] == "COMPRESSION" && strings.HasPrefix(s.server.edition, "Web") {
		return nil, s.terminated(errNoCompression, "BACKUP DATABASE", "BACKUP DATABASE WITH COMPRESSION is not supported on %s.", s.server.edition)
	}
	c := d.clone()
	c.Marked = false
	b := simBackup{Major: s.server.major(), DB: c}
	b.DB.Marked = d.Marked
	b.Sum = b.sum()
	text, _ := json.Marshal(b)
	if half {
		text = text[:len(text)/2]
	}
	path := unquote(m[2])
	if err := os.WriteFile(s.dir(path), text, 0o660); err != nil {
		return nil, s.terminated(errNoDevice, "BACKUP DATABASE", "Cannot open backup device '%s'. Operating system error 5(Access is denied.).", path)
	}
	return many(), nil
}

func (s *sim) read(path string) (simBackup, error) {
	var b simBackup
	text, err := os.ReadFile(s.dir(path))
	if err != nil {
		return b, s.terminated(errNoDevice, "RESTORE", "Cannot open backup device '%s'. Operating system error 2.", path)
	}
	if err := json.Unmarshal(text, &b); err != nil || b.Sum != b.sum() {
		return b, s.terminated(3241, "RESTORE", "The media family on device '%s' is incorrectly formed.", path)
	}
	if b.Major > s.server.major() { // t-sql/statements/restore-statements, Compatibility support
		return b, s.terminated(3169, "RESTORE", "The database was backed up on a server running a newer version.")
	}
	return b, nil
}

func (s *sim) verify(_ *simConn, m []string, _ bool) (*simRows, error) {
	_, err := s.read(unquote(m[1]))
	return many(), err
}

// fileList: t-sql/statements/restore-statements-filelistonly: LogicalName, PhysicalName, Type and more.
func (s *sim) fileList(_ *simConn, m []string, _ bool) (*simRows, error) {
	b, err := s.read(unquote(m[1]))
	if err != nil {
		return nil, err
	}
	r := &simRows{columns: []string{"LogicalName", "PhysicalName", "Type", "FileGroupName", "Size"}}
	for _, f := range b.DB.Files {
		kind := "D"
		if f.Log {
			kind = "L"
		}
		r.rows = append(r.rows, []driver.Value{f.Name, f.Path, kind, nil, int64(8 << 20)})
	}
	return r, nil
}

var formMove = regexp.MustCompile(`MOVE ` + reText + ` TO ` + reText)

// restore: t-sql/statements/restore-statements and -arguments. Without REPLACE neither a database
// nor a file is overwritten. An interrupted one leaves the state RESTORING. Most options are those
// of the backup; the user access is restricted as given, the broker is disabled (-arguments,
// ENABLE_BROKER), TRUSTWORTHY is off (relational-databases/security/trustworthy-database-property),
// and the owner is who restores.
func (s *sim) restore(_ *simConn, m []string, half bool) (*simRows, error) {
	name := unquote(m[1])
	b, err := s.read(unquote(m[2]))
	if err != nil {
		return nil, err
	}
	if s.dbs[name] != nil {
		return nil, s.terminated(3159, "RESTORE DATABASE", "The tail of the log for the database %q has not been backed up.", name)
	}
	moves := map[string]string{}
	for _, mv := range formMove.FindAllStringSubmatch(m[3], -1) {
		moves[unquote(mv[1])] = unquote(mv[2])
	}
	d := b.DB
	for i, f := range d.Files {
		if to, ok := moves[f.Name]; ok {
			d.Files[i].Path = to
		}
		for _, other := range s.dbs {
			if slices.ContainsFunc(other.Files, func(o file) bool { return strings.EqualFold(o.Path, d.Files[i].Path) }) {
				return nil, s.terminated(1834, "RESTORE DATABASE", "The file '%s' cannot be overwritten.", d.Files[i].Path)
			}
		}
	}
	s.dbs[name] = s.born(d)
	d.State, d.Access, d.Owner, d.Broker = online, restricted, s.server.login, false
	d.Options[optionTrust], d.Options[optionChain] = "0", "0"
	if s.upgrade != nil {
		s.upgrade(d)
	}
	if half {
		d.State = "RESTORING"
	}
	return many(), nil
}

func (s *sim) listUsers(_ *simConn, m []string, _ bool) (*simRows, error) {
	d := s.dbs[unquote(m[1])]
	if d == nil || d.State != online {
		return nil, fault(927, "Database cannot be opened.")
	}
	r := &simRows{columns: make([]string, 2)}
	for user, sid := range d.Users {
		for login, known := range s.logins {
			if sid == known {
				r.rows = append(r.rows, []driver.Value{user, login})
			}
		}
	}
	slices.SortFunc(r.rows, func(a, b []driver.Value) int { return strings.Compare(a[0].(string), b[0].(string)) })
	return r, nil
}

func (s *sim) marked(_ *simConn, m []string, _ bool) (*simRows, error) {
	d := s.dbs[unquote(m[1])]
	if d == nil || d.State != online {
		return nil, fault(927, "Database cannot be opened.")
	}
	if unquote(m[2]) == markScratch {
		return one(truth(d.Scratch)), nil
	}
	return one(truth(d.Marked)), nil
}

// enter adds a session of somebody else.
func (s *sim) enter(login, db string, returns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids++
	s.users = append(s.users, &simUser{id: s.ids, login: login, db: db, returns: returns, sysadmin: s.sysadmins[login]})
}

// newTarget returns a target on the server, whose exchange directory is dir.
func (s *sim) newTarget(dir, name string) *Database {
	s.dir = func(path string) string {
		return filepath.Join(dir, path[strings.LastIndexAny(path, `\/`)+1:])
	}
	d := &Database{
		URI: "sqlserver://maintenance:geheim%25@db.example:1433?database=" + strings.ReplaceAll(name, " ", "%20"), Dir: dir, ServerDir: `\\app\exchange`,
		Tested:    Tested{Server: s.server.name, Version: s.server.full(), Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		drain:     20 * time.Second,
		interval:  time.Millisecond,
		connector: s.connector,
	}
	return d
}
