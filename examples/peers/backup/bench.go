//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/peers/internal/pg"
)

// A bench is a server, a directory and our program.
type bench struct {
	*pg.Server
	dir    string
	backer string
}

func open(ctx context.Context, parent string) (_ *bench, err error) {
	b := &bench{}
	if b.dir, err = os.MkdirTemp(parent, "aspupdate-peers-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	b.backer = filepath.Join(b.dir, "backer")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.backer, "github.com/aspupdate/aspupdate/examples/peers/backup/backer")
	build.Env = append(os.Environ(), "GOWORK=off") // this module is outside the workspace
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot build backer: %w; run this in the directory of package peers\n%s", err, out)
	}
	b.Server, err = pg.Start(parent)
	return b, err
}

func (b *bench) close() error {
	if b.Server != nil {
		b.Stop()
	}
	return os.RemoveAll(b.dir)
}

// ours is what backer prints.
type ours struct {
	ID     string
	Stored int64
	Took   time.Duration
	Stages map[string]time.Duration
	Notes  []string
	Memory int64
}

const damaged = 3 // backer's exit code

func (b *bench) run(ctx context.Context, database string, want int, args ...string) (o ours, err error) {
	cmd := exec.CommandContext(ctx, b.backer, append(args, "-store", filepath.Join(b.dir, "store"))...)
	cmd.Env = append(os.Environ(), "ASPUPDATE_URI="+b.Admin(database))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != want {
		return o, fmt.Errorf("backer %s: exit code %d instead of %d: %w: %s", args[0], code, want, err, stderr.String())
	}
	return o, json.Unmarshal(out, &o)
}

// A round has the times of both sides for all the work.
type round struct {
	dump, load        time.Duration // pg_dump -Fc; an empty database and pg_restore -j2
	dumpSize          int64
	take              ours // with the clone
	byClone, byDump   ours // the restores
	verify, ofDamaged ours
	stored            int64
}

// round runs all the work once on both sides.
func (b *bench) round(ctx context.Context, name string, weBegin bool) (r round, err error) {
	file := filepath.Join(b.dir, "peer.dump")
	defer func() { err = errors.Join(err, os.RemoveAll(file), os.RemoveAll(filepath.Join(b.dir, "store"))) }()
	inTurns := func(us, them func() error) error {
		turns := []func() error{us, them}
		if !weBegin {
			turns[0], turns[1] = them, us
		}
		for _, do := range turns {
			if err := errors.Join(b.Settle(ctx), do()); err != nil {
				return err
			}
		}
		return nil
	}
	err = inTurns(
		func() (err error) {
			if r.take, err = b.run(ctx, name, 0, "take"); err == nil && len(r.take.Notes) > 0 {
				err = fmt.Errorf("no clone: %q", r.take.Notes)
			}
			return err
		},
		func() (err error) {
			if _, r.dump, err = b.Tool(ctx, "pg_dump", "-Fc", "-f", file, name); err != nil {
				return err
			}
			fi, err := os.Stat(file)
			if err == nil {
				r.dumpSize = fi.Size()
			}
			return err
		})
	if err != nil {
		return r, err
	}
	id := r.take.ID
	r.stored = r.take.Stored
	if r.verify, err = b.run(ctx, name, 0, "verify", "-id", id); err != nil {
		return r, err
	}
	// The last bit: finding it takes reading the whole file.
	dump := filepath.Join(b.dir, "store", id, "data", "database.dump.zst")
	if err := flip(dump); err != nil {
		return r, err
	}
	if r.ofDamaged, err = b.run(ctx, name, damaged, "verify", "-id", id); err != nil {
		return r, err
	}
	if err := errors.Join(flip(dump), b.Settle(ctx)); err != nil {
		return r, err
	}
	if r.byClone, err = b.run(ctx, name, 0, "restore", "-id", id); err != nil {
		return r, err
	}
	if len(r.byClone.Notes) > 0 {
		return r, fmt.Errorf("not restored from the clone: %q", r.byClone.Notes)
	}
	err = inTurns(
		func() (err error) {
			r.byDump, err = b.run(ctx, name, 0, "restore", "-id", id, "-by", "dump")
			return err
		},
		func() error {
			began := time.Now()
			if err := b.SQL(ctx, "postgres", "CREATE DATABASE peer TEMPLATE template0"); err != nil {
				return err
			}
			if _, _, err := b.Tool(ctx, "pg_restore", "-j2", "-d", "peer", file); err != nil {
				return err
			}
			r.load = time.Since(began)
			return b.SQL(ctx, "postgres", "DROP DATABASE peer")
		})
	return r, err
}

// flip flips the last bit of a file.
func flip(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, fi.Size()-1); err == nil {
			last[0] ^= 1
			_, err = f.WriteAt(last, fi.Size()-1)
		}
	}
	return errors.Join(err, f.Sync(), f.Close())
}
