//go:build linux

// Command backer is this library's side of the comparison, as its own process. It
// takes a snapshot of a database, verifies it, or restores it, and prints as JSON
// the time of each stage and the peak memory of this process, without pg_dump,
// pg_restore and the server.
//
//	backer take     -uri URI -store DIR
//	backer verify   -uri URI -store DIR -id ID             # exit code 3: damaged
//	backer restore  -uri URI -store DIR -id ID [-by dump]  # from the clone, or from the dump
//
// The default of -uri is the environment variable ASPUPDATE_URI.
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
	Stages map[string]time.Duration // by name
	Notes  []string                 // why something was done in another way than usual
	Memory int64                    // peak memory of this process, in bytes
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
		return errors.New("missing command: take, verify or restore")
	}
	flags := flag.NewFlagSet("backer "+args[0], flag.ContinueOnError)
	uri := flags.String("uri", os.Getenv("ASPUPDATE_URI"), "`URI` of the database, as a superuser")
	dir := flags.String("store", "", "`directory` of the snapshots")
	id := flags.String("id", "", "`ID` of the snapshot")
	by := flags.String("by", "clone", "what to restore from: clone or dump")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	db := &postgres.Database{URI: *uri}
	store := &backup.Store{Dir: *dir}
	if args[0] == "restore" && *by == "dump" {
		if err := db.Tidy(ctx); err != nil { // without the clone only the dump is left
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
		if e.Kind == backup.EventWarning {
			r.Notes = append(r.Notes, e.Text)
		} else if e.Done == 0 {
			next(string(e.Kind))
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
		err = fmt.Errorf("unknown command %q: use take, verify or restore", args[0])
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
