package mssql

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// Check fails if an update of the database could not be carried out, before users are
// put out: the server or the database is of a kind that is not supported, the login
// lacks rights, the server cannot write to Dir, or no SelfTest has passed on this
// server and version, which is checked last. It returns server and version, for people.
//
// It changes nothing in the database. It has the server write a small backup, that of
// model, to Dir, and removes that.
func (d *Database) Check(ctx context.Context) (server string, err error) {
	s, err := d.connect(ctx)
	if err != nil {
		return "", err
	}
	defer s.close()
	err = s.check(ctx)
	if err == nil {
		err = s.tested()
	}
	return "SQL Server " + s.server.full() + " on " + s.server.name, failed("check database", s.name, err)
}

func (s *session) check(ctx context.Context) error {
	if err := s.supported(); err != nil {
		return err
	}
	st, err := s.suitable(ctx)
	if err != nil {
		return err
	}
	if _, err := s.prove(ctx); err != nil {
		return err
	}
	if err := s.stoppable(ctx, st.id); err != nil {
		return err
	}
	return s.tryDir(ctx)
}

// supported fails if the server, or the login, cannot do what is needed.
func (s *session) supported() error {
	v := s.server
	switch {
	case slices.Contains([]int{5, 6, 8, 9, 11, 12}, v.engine):
		return fmt.Errorf("%w: a service of the cloud (%s), where files of backups cannot be had", backup.ErrIncompatible, v.edition)
	case v.major() < 11:
		return advise(fmt.Errorf("%w: SQL Server %s: 2012 is the oldest that is supported", backup.ErrIncompatible, v.full()), "update the server, or use package command with commands of your own")
	case v.sysadmin == 0:
		return advise(fmt.Errorf("%w: %q is not a sysadmin, and only a sysadmin restores owner and options of a database and ends sessions of others", backup.ErrPermission, v.login),
			"ALTER SERVER ROLE [sysadmin] ADD MEMBER "+ident(v.login)+", or use another login, which the application does not use")
	}
	return nil
}

// tested fails unless a SelfTest has passed on this server and version.
func (s *session) tested() error {
	t, v := s.d.Tested, s.server
	switch {
	case s.d.scratch:
		return nil
	case t.Time.IsZero():
		return advise(fmt.Errorf("%w: no self-test has passed on this server", backup.ErrIncompatible), "run the self-test, and keep its record")
	case t.Server != v.name || t.Version != v.full():
		return advise(fmt.Errorf("%w: the self-test has passed on %s, version %s, and this is %s, version %s", backup.ErrIncompatible, t.Server, t.Version, v.name, v.full()),
			"run the self-test again, and keep its record")
	}
	return nil
}

// usable fails if the database cannot be written to.
func (st status) usable() error {
	switch {
	case st.state != online:
		return advise(fmt.Errorf("%w: the database is %s", backup.ErrIncompatible, st.state), "bring it online")
	case st.readOnly != 0:
		return advise(fmt.Errorf("%w: the database is read-only", backup.ErrIncompatible), "ALTER DATABASE … SET READ_WRITE")
	case st.access != multi && st.access != restricted:
		return advise(fmt.Errorf("%w: the database is in the mode %s", backup.ErrBusy, st.access), "ALTER DATABASE … SET MULTI_USER")
	}
	return nil
}

// obstacles are what is refused, in the order of sqlObstacles, and what helps.
var obstacles = [][2]string{
	{"it is a database snapshot", "name the database that it is of"},
	{"it is in an availability group: a rename would leave its replicas behind", "ALTER AVAILABILITY GROUP … REMOVE DATABASE"},
	{"it is mirrored: a rename would leave its partner behind", "ALTER DATABASE … SET PARTNER OFF"},
	{"it is replicated: a restored copy would not be", "remove publications and subscriptions (sp_removedbreplication)"},
	{"change data capture is enabled: a restored copy would lose it", "EXEC sys.sp_cdc_disable_db"},
	{"it has database snapshots, which would keep what they are of from being removed", "DROP DATABASE the snapshots"},
	{"it has FILESTREAM, FileTable or memory-optimized data, or full-text catalogs of an old version, which are not supported", "use package command with commands of your own"},
}

// suitable returns the live database if it can be backed up and restored.
func (s *session) suitable(ctx context.Context) (status, error) {
	st, err := s.live(ctx)
	if err != nil {
		return st, err
	}
	if err := st.usable(); err != nil {
		return st, err
	}
	found := make([]int, len(obstacles))
	into := make([]any, len(found))
	for i := range found {
		into[i] = &found[i]
	}
	if err := s.row(ctx, sqlObstacles, []any{s.name}, into...); err != nil {
		return st, err
	}
	for i, o := range obstacles {
		if found[i] != 0 {
			return st, advise(fmt.Errorf("%w: %s", backup.ErrIncompatible, o[0]), o[1])
		}
	}
	var shipped int
	if err := s.row(ctx, sqlLogShipping, []any{s.name}, &shipped); err != nil && !number(err, errNoObject) {
		return st, err
	}
	if shipped != 0 {
		return st, advise(fmt.Errorf("%w: its log is shipped: a rename would end that", backup.ErrIncompatible), "EXEC sp_delete_log_shipping_primary_database")
	}
	if st.owner == "" {
		return st, advise(fmt.Errorf("%w: the owner of the database is no login of this server", backup.ErrIncompatible), "ALTER AUTHORIZATION ON DATABASE::"+ident(s.name)+" TO [sa]")
	}
	return st, s.keys(ctx)
}

// keys fails if the database is encrypted by a certificate without which no backup of
// it can be read, and of which there is no copy.
func (s *session) keys(ctx context.Context) error {
	var names []string
	err := s.rows(ctx, sqlKeys, []any{s.name}, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	if err != nil || len(names) == 0 {
		return err
	}
	return advise(fmt.Errorf("%w: the database is encrypted by the certificate %q, whose key was never backed up: without it no backup can be restored", backup.ErrIncompatible, names[0]),
		"USE master; BACKUP CERTIFICATE "+ident(names[0])+" TO FILE = … WITH PRIVATE KEY (…), and keep both files")
}

// stoppable fails if RESTRICTED_USER does not stop logins that may be the application's. Those of
// sysadmins are many, and few of them the application's: one that is connected may be.
func (s *session) stoppable(ctx context.Context, id int) error {
	if s.d.OwnersOut {
		return nil
	}
	who, err := s.clients(ctx, id)
	if err != nil {
		return err
	}
	for _, c := range who {
		if c.sysadmin != 0 && (c.login != s.server.login || c.program != program) {
			return advise(fmt.Errorf("%w: %s is connected as a sysadmin, whom RESTRICTED_USER lets in, and would come back at once", backup.ErrPermission, c), s.howToKeepOut(c))
		}
	}
	var names []string
	err = s.rows(ctx, sqlOwners(s.name), []any{s.name}, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	if err != nil || len(names) == 0 {
		return err
	}
	return advise(fmt.Errorf("%w: RESTRICTED_USER lets in %q, by ownership or db_owner, and they would come back at once", backup.ErrPermission, strings.Join(names, ", ")),
		"ALTER ROLE [db_owner] DROP MEMBER their users, or confirm that another fence keeps them out (OwnersOut)")
}

// tryDir has the server write to the exchange directory, and read from it.
func (s *session) tryDir(ctx context.Context) error {
	b, err := s.newFile()
	if err != nil {
		return err
	}
	defer b.remove()
	if err := s.dump(ctx, "model", b); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "aspupdate-")
	if err != nil {
		return err
	}
	defer func() { _ = durable.RemoveAll(dir) }()
	if _, err := s.fetch(ctx, b, dir); err != nil {
		return err
	}
	b.remove()
	if err := s.put(ctx, dir, b, ""); err != nil {
		return err
	}
	return s.verify(ctx, b)
}
