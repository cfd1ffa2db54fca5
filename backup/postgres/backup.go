package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
)

const (
	kind     = "postgres"
	dumpFile = "database.dump.zst"
)

// Check looks whether a backup could be made: the server answers, the role is
// a superuser, the programs are there. It changes nothing.
func (d *Database) Check(ctx context.Context) error {
	_, _, err := d.Versions(ctx)
	return err
}

// Versions looks as Check does, and returns the server's version and what the
// pg_dump that a backup would use says of itself, both for people.
func (d *Database) Versions(ctx context.Context) (server, dump string, err error) {
	s, err := d.connect(ctx)
	if err != nil {
		return "", "", err
	}
	defer s.close()
	if _, err := s.usable(ctx); err != nil {
		return "", "", err
	}
	t, err := d.findTools(ctx, s.version)
	if err != nil {
		return "", "", err
	}
	err = s.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&server)
	return server, t.version, err
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
		return nil, fmt.Errorf("%w: it has %d prepared transactions: commit them or roll them back", ErrBusy, prepared)
	case subscribed > 0:
		return nil, fmt.Errorf("%w: it has %d subscriptions, which no copy of it would have, and which write to it whatever the fence: drop them",
			ErrBusy, subscribed)
	case !live.allow && !swapping:
		return nil, fmt.Errorf("the database %q lets nobody in: ALTER DATABASE … ALLOW_CONNECTIONS true", s.name)
	}
	return live, nil
}

// Backup implements [backup.Target]. Sessions on the database make it fail
// with ErrBusy: Close it first.
func (d *Database) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	s, err := d.begin(ctx)
	if err != nil {
		return backup.Meta{}, fmt.Errorf("backing up: %w", err)
	}
	meta, err := s.backup(ctx, dir)
	s.close()
	if err != nil {
		// The clone is half made: it goes.
		return backup.Meta{}, errors.Join(fmt.Errorf("backing up the database %q: %w", s.name, err), d.settle(ctx))
	}
	return meta, nil
}

func (s *session) backup(ctx context.Context, dir string) (backup.Meta, error) {
	live, err := s.usable(ctx)
	if err != nil {
		return backup.Meta{}, err
	}
	if err := s.outside(ctx, dir); err != nil {
		return backup.Meta{}, err
	}
	t, err := s.d.findTools(ctx, s.version)
	if err != nil {
		return backup.Meta{}, err
	}
	f, err := s.describe(ctx, live)
	if err != nil {
		return backup.Meta{}, err
	}
	if f.Closed = live.closed(); f.Closed {
		if f.Limit, err = strconv.Atoi(live.settings[setLimit]); err != nil {
			return backup.Meta{}, fmt.Errorf("the setting %s is no number: %w", setLimit, err)
		}
	}
	f.Checksums = s.d.Checksums
	source := s.name
	if !s.d.InPlace {
		if err := s.clone(ctx, live, &f); err != nil {
			return backup.Meta{}, err
		}
		if source = f.Clone; source == "" {
			source = s.name
			s.tell(StageNoClone, f.NoClone)
		}
	}
	s.tell(StageDump, "")
	meta := backup.Meta{
		Kind:   kind,
		Target: s.name + " of the cluster " + f.SystemID,
		Engine: "PostgreSQL " + f.Server,
		Tools:  map[string]string{"pg_dump": t.version},
	}
	if meta.Sums, err = s.dump(ctx, t, source, dir, &f); err != nil {
		return backup.Meta{}, err
	}
	if f.Clone != "" {
		// From here on it is complete, and nobody can change it.
		db := "ALTER DATABASE " + ident(f.Clone)
		if _, err := s.drain(ctx, f.Clone); err != nil {
			return backup.Meta{}, err
		}
		if err := s.together(ctx, db+" ALLOW_CONNECTIONS false", db+" SET "+setKind+" = "+literal(kindClone)); err != nil {
			return backup.Meta{}, err
		}
	}
	meta.Detail, err = json.Marshal(f)
	return meta, err
}

// outside refuses a store inside the server's own folder.
func (s *session) outside(ctx context.Context, dir string) error {
	data, err := s.folder(ctx)
	if err != nil || data == "" {
		return err
	}
	in, err := durable.Within(dir, data)
	if err == nil && in {
		err = fmt.Errorf("the store lies inside the server's folder %s: move it elsewhere", data)
	}
	return err
}

// dump writes the dump of a database and reads its fingerprints, both from
// one snapshot, and returns the sum of the file.
func (s *session) dump(ctx context.Context, t tools, source, dir string, f *Facts) (map[string]string, error) {
	conn, err := s.to(ctx, source)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	var snapshot string
	if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
		return nil, err
	}
	before, err := sequences(ctx, tx)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(filepath.Join(dir, dumpFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	stored, raw := sha256.New(), sha256.New()
	// Without the second the fastest level leaves what has no repetitions as it
	// is, such as photos in hexadecimal, which are half air.
	pack, err := zstd.NewWriter(io.MultiWriter(out, stored), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		return nil, err
	}
	count := &counter{}
	sink := &firstError{w: io.MultiWriter(pack, raw, count, s.d.meter(StageDump, 0))}
	cmd := s.command(source, t.dump, "--format=custom", "--compress=0", "--snapshot="+snapshot)
	cmd.Stdout = sink
	err = run(ctx, cmd)
	if err = errors.Join(sink.err, err, ctx.Err(), pack.Close(), out.Sync(), out.Close()); err != nil {
		return nil, err
	}
	f.DumpSHA256, f.DumpBytes = hex.EncodeToString(raw.Sum(nil)), count.n
	if err := look(ctx, tx, s.version, f); err != nil {
		return nil, err
	}
	for i, t := range f.Tables {
		if value, ok := before[[2]string{t.Schema, t.Name}]; ok && value != t.Sum {
			f.Tables[i].Sum, f.Tables[i].Moved = "", true
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, err
	}
	return map[string]string{dumpFile: hex.EncodeToString(stored.Sum(nil))}, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
