package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// recover puts in order what a killed run left: a live database that was shut
// for a swap is opened again, and what is half made is dropped. Clones and what
// restores kept aside stay.
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
	return s.dropOurs(ctx, func(kind string, complete bool) bool {
		return kind == kindNew || !complete
	})
}

// dropOurs drops the databases beside the live one that pick chooses. One is
// known for ours by its name, which no other program makes, and by its mark. One
// without a mark was being created when we died: such a one has no comment
// and lets no user in, or it has become somebody else's.
func (s *session) dropOurs(ctx context.Context, pick func(kind string, complete bool) bool) error {
	rows, err := s.Query(ctx, infoQuery+"WHERE d.datname <> $2", setPrefix, s.name)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, scanInfo)
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
		case !complete && (kind == kindOld || i.comment != nil || i.limit != 0 && i.limit != invalid):
			continue
		}
		if pick(kind, complete) {
			errs = append(errs, s.drop(ctx, i.name))
		}
	}
	return errors.Join(errs...)
}

// What DROP DATABASE makes of the connection limit before it deletes a file. Where it is
// cut short after that, nobody comes in, and nothing but dropping it is allowed.
const invalid = -2

// drop drops a database of ours, sessions or not.
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
		return fmt.Errorf("dropping %q: %w", name, err)
	}
	return nil
}

// Tidy implements [backup.Tidier]: it drops clones, what restores kept
// aside, and what was left half made. It refuses while no database has the live
// name.
func (d *Database) Tidy(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("tidying: %w", err)
	}
	defer s.close()
	if _, err := s.live(ctx); err != nil {
		return fmt.Errorf("tidying: %w: what was kept aside may be all that is left", err)
	}
	if err := s.dropOurs(ctx, func(string, bool) bool { return true }); err != nil {
		return fmt.Errorf("tidying beside %q: %w", s.name, err)
	}
	return nil
}

// Needs implements [backup.Sizer]. It changes nothing. The server's folder is
// named only where it can be seen from here.
func (d *Database) Needs(ctx context.Context) ([]backup.Need, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var n int64
	var tablespace string
	err = s.QueryRow(ctx, `SELECT pg_database_size(d.oid), spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace
		WHERE datname = $1`, s.name).Scan(&n, &tablespace)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("there is no database %q on the server", s.name)
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
	if !d.InPlace {
		list = append(list, backup.Need{Path: dir, Bytes: n, For: backup.ForClone})
	}
	return list, nil
}

// Folder returns the folder of the server's files, or "" if it is not on this
// machine or cannot be read by this user. Archive, backups and state have no
// place in it.
func (d *Database) Folder(ctx context.Context) (string, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return "", err
	}
	defer s.close()
	return s.folder(ctx)
}

func (s *session) folder(ctx context.Context) (string, error) {
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

// readable reports whether dir is a server's folder on this machine, and not
// only a name that a container or a tunnel shows.
func readable(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	return err == nil
}
