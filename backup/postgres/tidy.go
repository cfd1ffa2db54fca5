package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// recover finishes or undoes what a killed run left: a live database that was
// being swapped allows connections again, and what is half made is dropped. Clones
// and what restores kept aside stay. That the login stays is only a warning.
func (s *session) recover(ctx context.Context) error {
	live, err := s.find(ctx, s.name)
	if err != nil {
		return err
	}
	if live != nil {
		if _, swapping := live.settings[setSwapping]; swapping {
			db := "ALTER DATABASE " + ident(s.name)
			if err := s.together(ctx, db+" ALLOW_CONNECTIONS true", db+" RESET "+setSwapping); err != nil {
				return err
			}
		}
	}
	err = s.dropOurs(ctx, func(kind string, complete bool) bool {
		return kind == kindNew || !complete
	})
	// A role that cannot be dropped, such as one that owns something in another database,
	// must not lock users out: Open comes here as well. The next load fails if it is still there.
	if lerr := s.dropLogin(ctx); lerr != nil {
		s.warn(lerr.Error())
	}
	return err
}

// dropOurs drops the databases beside the live one that pick chooses. They are
// recognized by their names, which no other program makes, and by setKind. One
// without that setting was being created when the run was killed: it has no
// comment and allows no users, or it belongs to somebody else by now.
func (s *session) dropOurs(ctx context.Context, pick func(kind string, complete bool) bool) error {
	all, err := s.others(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, i := range all {
		kind := kindOf(s.name, i.name)
		mark, complete := i.settings[setKind]
		switch {
		case kind == "":
			continue
		case complete && mark != kind:
			continue
		case !complete && (kind == kindOld || kind == kindDiffers || i.comment != nil || i.limit != 0 && i.limit != invalid && (!s.limited || i.owner != s.me)):
			continue
		}
		if pick(kind, complete) {
			errs = append(errs, s.drop(ctx, i.name))
		}
	}
	return errors.Join(errs...)
}

// others returns all databases but the live one.
func (s *session) others(ctx context.Context) ([]*dbInfo, error) {
	rows, err := s.Query(ctx, infoQuery+"WHERE d.datname <> $2", setPrefix, s.name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanInfo)
}

// invalid is the connection limit that DROP DATABASE sets before it deletes files.
// If it is interrupted after that, the database can only be dropped.
const invalid = -2

// drop drops a database and terminates its sessions.
func (s *session) drop(ctx context.Context, name string) error {
	i, err := s.find(ctx, name)
	if err != nil || i == nil {
		return err
	}
	if i.limit != invalid {
		if _, err := s.Exec(ctx, "ALTER DATABASE "+ident(name)+" ALLOW_CONNECTIONS false IS_TEMPLATE false"); err != nil {
			return err
		}
		if _, err := s.drain(ctx, name); err != nil {
			return err
		}
	}
	if _, err := s.Exec(ctx, "DROP DATABASE "+ident(name)); err != nil {
		return fmt.Errorf("cannot drop %q: %w", name, err)
	}
	return nil
}

// Tidy implements [backup.Tidier]: it drops clones, what restores kept aside, and
// what is half made. It fails if no database has the live name.
func (d *Database) Tidy(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := s.live(ctx); err != nil {
		return failed("tidy database", s.name, fmt.Errorf("%w: what was kept aside may be all that is left", err))
	}
	return failed("tidy database", s.name, s.dropOurs(ctx, func(string, bool) bool { return true }))
}

// Needs implements [backup.Sizer]. It changes nothing. Paths are known only if the
// server is on this machine. The error wraps [fs.ErrNotExist] if the database does not exist.
func (d *Database) Needs(ctx context.Context) ([]backup.Need, error) {
	s, err := d.connect(ctx, reading)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var n int64
	var tablespace string
	err = s.QueryRow(ctx, `SELECT pg_database_size(d.oid), spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace
		WHERE datname = $1`, s.name).Scan(&n, &tablespace)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("database %q does not exist: %w", s.name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	dir, err := s.place(ctx, tablespace)
	if err != nil {
		return nil, err
	}
	list := []backup.Need{
		{Bytes: n, For: backup.ForSnapshot},
		{Path: dir, Bytes: n, For: backup.ForRestored},
		{Path: dir, Bytes: n, For: backup.ForOld},
	}
	if !d.NoClone {
		list = append(list, backup.Need{Path: dir, Bytes: n, For: backup.ForClone})
	}
	return list, nil
}

// DataDir returns the directory of the server's files, "" if it is not on this
// machine or cannot be read by this account. Archive, backups and state must
// not be in it.
func (d *Database) DataDir(ctx context.Context) (string, error) {
	s, err := d.connect(ctx, reading)
	if err != nil {
		return "", err
	}
	defer s.close()
	return s.dataDir(ctx)
}

func (s *session) dataDir(ctx context.Context) (string, error) {
	var dir string
	if err := s.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		return "", err
	}
	if !isLocal(s.cfg.Host) || !readable(dir) {
		return "", nil
	}
	return dir, nil
}

func isLocal(host string) bool {
	if strings.HasPrefix(host, "/") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// readable reports whether dir is a server's directory on this machine, and not
// one behind a container or a tunnel.
func readable(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	return err == nil
}
