package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
)

const (
	kind     = "postgres"
	dumpFile = "database.dump.zst"
)

// Versions returns the server's version and that of the pg_dump that a backup
// would use, both for people. It fails if a backup could not be made or restored, as far as
// that can be known without one; call it before Close. It makes the role that loads
// dumps and an empty database for it, connects, and drops both. The live database stays as it is, also
// for users.
func (d *Database) Versions(ctx context.Context) (server, dump string, err error) {
	s, err := d.begin(ctx)
	if err != nil {
		return "", "", err
	}
	server, dump, err = s.versions(ctx)
	s.close()
	if err != nil { // drops what is half made
		return "", "", errors.Join(failed("check database", s.name, err), d.settle(ctx))
	}
	return server, dump, nil
}

func (s *session) versions(ctx context.Context) (server, dump string, err error) {
	live, err := s.usable(ctx)
	if err != nil {
		return "", "", err
	}
	t, err := s.d.findTools(ctx, s.version)
	if err != nil {
		return "", "", err
	}
	if err := s.foresee(ctx, live); err != nil {
		return "", "", err
	}
	if err := s.tryLogin(ctx); err != nil {
		return "", "", fmt.Errorf("a dump could not be loaded: %w", err)
	}
	err = s.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&server)
	if !s.restricts {
		server += " (without " + restrict + ", which keeps pg_dump from running what users put in the place of a table: update the server)"
	}
	return server, t.version, err
}

// foresee fails if the database holds what its backup could not restore.
func (s *session) foresee(ctx context.Context, live *dbInfo) error {
	conn, err := s.to(ctx, s.name, reading)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if err := dumpableLanguages(ctx, conn); err != nil {
		return err
	}
	list, err := readPrivileged(ctx, conn)
	if err != nil {
		return err
	}
	if s.limited {
		return s.foreseeLimited(ctx, conn, live, list)
	}
	return s.d.waived(list)
}

// usable returns the live database if it can be backed up.
func (s *session) usable(ctx context.Context) (*dbInfo, error) {
	live, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	var prepared, subscribed int
	err = s.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE database = $1),
		(SELECT count(*) FROM pg_subscription WHERE subdbid = $2)`, s.name, live.oid).Scan(&prepared, &subscribed)
	if err != nil {
		return nil, err
	}
	_, swapping := live.settings[setSwapping]
	switch {
	case prepared > 0:
		return nil, advise(fmt.Errorf("%w: %d prepared transactions", backup.ErrBusy, prepared), "commit them or roll them back")
	case subscribed > 0:
		return nil, advise(fmt.Errorf("%w: %d subscriptions, which no copy would have and which write whatever the fence", backup.ErrBusy, subscribed), "drop them")
	case !live.allow && !swapping:
		return nil, advise(errors.New("the database allows no connections"), "ALTER DATABASE … ALLOW_CONNECTIONS true")
	}
	return live, nil
}

// Backup implements [backup.Target]. It fails with [backup.ErrBusy] if there are
// sessions on the database: Close it first.
func (d *Database) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	s, err := d.begin(ctx)
	if err != nil {
		return backup.Meta{}, err
	}
	meta, err := s.backup(ctx, dir)
	s.close()
	if err != nil { // drops the unfinished clone
		return backup.Meta{}, errors.Join(failed("back up database", s.name, err), d.settle(ctx))
	}
	return meta, nil
}

func (s *session) backup(ctx context.Context, dir string) (meta backup.Meta, err error) {
	live, err := s.usable(ctx)
	if err != nil {
		return meta, err
	}
	if err := s.outside(ctx, dir); err != nil {
		return meta, err
	}
	if s.limited { // a superuser finds what it may not restore as it dumps
		if err := s.foresee(ctx, live); err != nil {
			return meta, err
		}
	}
	t, err := s.d.findTools(ctx, s.version)
	if err != nil {
		return meta, err
	}
	f, err := s.describe(ctx, live)
	if err != nil {
		return meta, err
	}
	f.Closed, f.Checksums, f.Way = live.closed(), s.d.Checksums, wayOfCopy
	if f.Limit, err = live.openLimit(); err != nil {
		return meta, err
	}
	if s.d.NoClone {
		err = s.dumpable(ctx, live)
	}
	if err != nil {
		return meta, err
	}
	if !s.d.NoClone {
		if err := s.clone(ctx, live, &f); err != nil {
			return meta, err
		}
		if f.Clone == "" {
			s.warn("no clone: " + f.NoClone)
		}
	}
	s.begins(eventDump)
	sums, err := s.dump(ctx, t, cmp.Or(f.Clone, s.name), dir, &f)
	if err != nil {
		return meta, err
	}
	if f.Clone != "" {
		// From here on it is complete and cannot be changed.
		db := "ALTER DATABASE " + ident(f.Clone)
		if _, err := s.drain(ctx, f.Clone); err != nil {
			return meta, err
		}
		if err := s.together(ctx, db+" ALLOW_CONNECTIONS false", db+" SET "+setKind+" = "+literal(kindClone)); err != nil {
			return meta, err
		}
	}
	detail, err := json.Marshal(f)
	return backup.Meta{
		Kind:   kind,
		Target: s.name + " of the cluster " + f.SystemID,
		Engine: "PostgreSQL " + f.Server,
		Tools:  map[string]string{"pg_dump": t.version},
		Detail: detail,
		Shape:  f.shape(t),
		Sums:   sums,
	}, err
}

// outside refuses a store inside the server's data directory.
func (s *session) outside(ctx context.Context, dir string) error {
	data, err := s.dataDir(ctx)
	if err != nil || data == "" {
		return err
	}
	in, err := durable.Within(dir, data)
	if err == nil && in {
		err = advise(fmt.Errorf("the store is inside the server's directory %s", data), "move it elsewhere")
	}
	return err
}

// dump writes the dump of a database and reads its fingerprints, both from one
// snapshot, and returns the sum of the file.
func (s *session) dump(ctx context.Context, t tools, source, dir string, f *facts) (map[string]string, error) {
	conn, err := s.to(ctx, source, reading)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	var sum string
	err = still(ctx, conn, func(tx pgx.Tx) error {
		var snapshot string
		if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
			return err
		}
		if err := dumpableLanguages(ctx, tx); err != nil {
			return err
		}
		f.Privileged, err = readPrivileged(ctx, tx)
		if err == nil {
			err = s.d.waived(f.Privileged)
		}
		if err != nil {
			return err
		}
		before, err := sequences(ctx, tx, s.version)
		if err != nil {
			return err
		}
		inside := s.readBeside(ctx, tx, source, snapshot, *f)
		sum, err = s.runDump(ctx, t, source, snapshot, filepath.Join(dir, dumpFile), f)
		got, rerr := inside(err == nil)
		if err = errors.Join(err, rerr); err != nil {
			return err
		}
		f.Extensions, f.NoPublic, f.Unlogged, f.Tables, f.Made = got.Extensions, got.NoPublic, got.Unlogged, got.Tables, got.Made
		after, err := sequences(ctx, tx, s.version)
		for i, t := range f.Tables {
			if name := [2]string{t.Schema, t.Name}; t.Sequence && (before[name] != t.Sum || after[name] != t.Sum) {
				f.Tables[i].Sum, f.Tables[i].Moved = "", true
			}
		}
		return err
	})
	return map[string]string{dumpFile: sum}, err
}

// readBeside reads what is inside the database of the snapshot by a session of its own, while
// pg_dump runs. The result waits for that, and is nothing if it is not needed. Where the server
// has no room for one more session, tx reads it afterwards.
func (s *session) readBeside(ctx context.Context, tx pgx.Tx, source, snapshot string, f facts) (result func(needed bool) (facts, error)) {
	conn, err := s.to(ctx, source, reading)
	if err != nil {
		return func(needed bool) (facts, error) {
			if !needed {
				return f, nil
			}
			err := readInside(ctx, tx, s.version, &f)
			return f, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var failed error
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer closeConn(conn)
		failed = still(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET TRANSACTION SNAPSHOT "+literal(snapshot)); err != nil {
				return err
			}
			return readInside(ctx, tx, s.version, &f)
		})
	}()
	return func(needed bool) (facts, error) {
		defer cancel()
		if !needed {
			cancel()
			<-read
			return f, nil
		}
		<-read
		return f, failed
	}
}

// runDump runs pg_dump into the new file and returns the file's sum. That of the
// dump before compression goes into f.
func (s *session) runDump(ctx context.Context, t tools, source, snapshot, file string, f *facts) (sum string, err error) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Close() }()
	stored, raw := sha256.New(), sha256.New()
	// Without entropy compression the fastest level does not compress what has no
	// repetitions, such as photos in hexadecimal.
	pack, err := zstd.NewWriter(io.MultiWriter(out, stored), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		return "", err
	}
	count := &counter{}
	sink := &firstError{w: io.MultiWriter(pack, raw, count, s.meter(eventDump, 0))}
	cmd := s.command(source, t.dump, s.options(reading), "--format=custom", "--compress=0", "--snapshot="+snapshot)
	cmd.Stdout = sink
	err = run(ctx, cmd)
	if err = errors.Join(sink.err, err, ctx.Err(), pack.Close(), out.Sync(), out.Close()); err != nil {
		return "", err
	}
	f.DumpSHA256, f.DumpBytes = hex.EncodeToString(raw.Sum(nil)), count.n
	return hex.EncodeToString(stored.Sum(nil)), nil
}

// counter counts the bytes written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
