package mssql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// Backup implements [backup.Target]. It fails with [backup.ErrBusy] if the database
// is open to users: Close it first.
func (d *Database) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	s, err := d.begin(ctx)
	if err != nil {
		return backup.Meta{}, err
	}
	defer s.close()
	meta, err := s.backup(ctx, dir)
	if err != nil {
		return backup.Meta{}, failed("back up database", s.name, err)
	}
	return meta, nil
}

func (s *session) backup(ctx context.Context, dir string) (m backup.Meta, err error) {
	if err := s.tested(); err != nil {
		return m, err
	}
	if _, err := s.suitable(ctx); err != nil {
		return m, err
	}
	if err := s.fenced(ctx); err != nil {
		return m, err
	}
	f, err := s.describe(ctx, s.name)
	if err != nil {
		return m, err
	}
	if err := s.outside(dir, f); err != nil {
		return m, err
	}
	e, err := s.newFile()
	if err != nil {
		return m, err
	}
	defer e.remove()
	if err := s.dump(ctx, s.name, e); err != nil {
		return m, err
	}
	if err := s.verify(ctx, e); err != nil {
		return m, err
	}
	if f.SHA256, err = s.fetch(ctx, e, dir); err != nil {
		return m, err
	}
	if err := s.fenced(ctx); err != nil { // what was entered meanwhile may be in the file
		return m, err
	}
	detail, err := json.Marshal(f)
	return backup.Meta{
		Kind:   kind,
		Target: s.name + " on " + s.server.name,
		Engine: "SQL Server " + s.server.full(),
		Detail: detail,
		Sums:   map[string]string{backupFile: f.SHA256},
	}, err
}

// dump has the server write a backup, compressed where the edition can.
func (s *session) dump(ctx context.Context, database string, e exchanged) error {
	s.begins(eventDump)
	err := s.exec(ctx, sqlBackup(database, e.path, s.server.engine != 4))
	if number(err, errNoCompression) {
		err = s.exec(ctx, sqlBackup(database, e.path, false))
	}
	return s.aboutFile(err)
}

// verify has the server read a backup whole and check its checksums.
func (s *session) verify(ctx context.Context, e exchanged) error {
	s.begins(eventCheck)
	return s.aboutFile(s.exec(ctx, sqlVerify(e.path)))
}

func (s *session) aboutFile(err error) error {
	if number(err, errNoDevice) {
		return advise(err, "let the server's account read and write in "+s.serverDir()+", and set ServerDir to the path by which the server sees "+s.d.Dir)
	}
	return err
}

func (s *session) serverDir() string {
	if s.d.ServerDir != "" {
		return s.d.ServerDir
	}
	return s.d.Dir
}

// outside refuses a store where the server writes.
func (s *session) outside(dir string, f facts) error {
	places := []string{s.d.Dir}
	if s.local() {
		for _, each := range f.Files {
			if place := parent(each.Path); isDir(place) {
				places = append(places, place)
			}
		}
	}
	for _, place := range places {
		in, err := durable.Within(dir, place)
		if err != nil {
			return err
		}
		if in {
			return advise(fmt.Errorf("the store is inside %s, where the server writes", place), "move it elsewhere")
		}
	}
	return nil
}

// local reports whether the server is on this machine.
func (s *session) local() bool {
	switch strings.ToLower(s.cfg.Host) {
	case "", ".", "localhost", "127.0.0.1", "::1", "(local)":
		return true
	}
	host, err := os.Hostname()
	return err == nil && strings.EqualFold(host, s.cfg.Host)
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// parent returns the directory of a path of the server.
func parent(path string) string {
	if i := strings.LastIndexAny(path, `\/`); i >= 0 {
		return path[:max(i, 1)]
	}
	return ""
}

// Needs implements [backup.Sizer]. It changes nothing. Paths are known only if the
// server is on this machine. The error wraps [fs.ErrNotExist] if the database does not exist.
func (d *Database) Needs(ctx context.Context) ([]backup.Need, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	needs, err := s.needs(ctx)
	return needs, failed("size database", s.name, err)
}

func (s *session) needs(ctx context.Context) ([]backup.Need, error) {
	if _, err := s.live(ctx); err != nil {
		return nil, err
	}
	files, bytes, err := s.files(ctx, s.name)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("the server lists no files of the database")
	}
	place := parent(files[0].Path)
	if !s.local() || !isDir(place) {
		place = ""
	}
	return []backup.Need{
		{Bytes: bytes, For: backup.ForSnapshot},
		{Path: s.d.Dir, Bytes: bytes, For: "exchange"},
		{Path: place, Bytes: bytes, For: backup.ForRestored},
		{Path: place, Bytes: bytes, For: backup.ForOld},
	}, nil
}
