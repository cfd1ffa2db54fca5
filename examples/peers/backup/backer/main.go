//go:build linux

// Command backer is this library's side of the comparison, as a process of its
// own: it takes a snapshot of a database, verifies it, or restores it, and prints as
// JSON how long each stage took and how much memory this process had, without
// that of pg_dump, pg_restore and the server.
//
//	backer take     -uri URI -store DIR
//	backer verify   -uri URI -store DIR -id ID             # exit code 3: damaged
//	backer restore  -uri URI -store DIR -id ID [-by dump]  # by the clone, or else from the dump
//
// The environment's ASPUPDATE_URI is the default of -uri.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// Report is what is printed.
type Report struct {
	ID     string
	Stored int64                    // bytes of the snapshot
	Took   time.Duration            // the whole call
	Stages map[string]time.Duration // by their names
	Notes  []string                 // why something went another way than usual
	Memory int64                    // the most that this process had, in bytes
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	stop()
	fmt.Fprintln(os.Stderr, "backer:", err)
	if errors.Is(err, backup.ErrDamaged) {
		os.Exit(3)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("say what to do: take, verify or restore")
	}
	flags := flag.NewFlagSet("backer "+args[0], flag.ContinueOnError)
	uri := flags.String("uri", os.Getenv("ASPUPDATE_URI"), "`URI` of the database, as a superuser")
	dir := flags.String("store", "", "`folder` of the snapshots")
	id := flags.String("id", "", "`ID` of the snapshot")
	by := flags.String("by", "clone", "what to restore from: clone or dump")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	db := &postgres.Database{URI: *uri}
	store := &backup.Store{Dir: *dir}
	if args[0] == "restore" && *by == "dump" {
		if err := db.Tidy(ctx); err != nil { // no clone, no other way
			return err
		}
	}

	r := Report{ID: *id, Stages: map[string]time.Duration{}}
	began := time.Now()
	stage, since := "", began
	next := func(name string) {
		now := time.Now()
		r.Stages[stage] += now.Sub(since)
		stage, since = name, now
	}
	observe := func(e backup.Event) {
		if e.Note != "" {
			r.Notes = append(r.Notes, string(e.Stage)+": "+e.Note)
		}
		if e.Done == 0 {
			next(string(e.Stage))
		}
	}
	db.Observe, store.Observe = observe, observe
	var restored backup.Restored
	switch args[0] {
	case "take":
		var snap backup.Snapshot
		snap, err = store.Take(ctx, "bench", db)
		r.ID, r.Stored = snap.ID, snap.Bytes()
	case "verify":
		err = store.Verify(ctx, *id)
	case "restore":
		restored, err = store.Restore(ctx, *id, db)
	default:
		err = fmt.Errorf("%q is nothing that can be done", args[0])
	}
	next("")
	r.Took = time.Since(began)
	if err != nil && !errors.Is(err, backup.ErrDamaged) {
		return err
	}
	var merr error
	if r.Memory, merr = readme.Kibibytes("/proc/self/status", "VmHWM"); merr != nil {
		return errors.Join(err, merr)
	}
	if restored != nil {
		if err := restored.Discard(ctx); err != nil {
			return err
		}
	}
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(r))
}
