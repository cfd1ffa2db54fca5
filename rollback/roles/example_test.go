package roles_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// door stands for a service.Group or a *postgres.Database, which are fences.
type door string

func (d door) Close(context.Context) error { fmt.Println("close", d); return nil }
func (d door) Open(context.Context) error  { fmt.Println("open", d); return nil }
func (d door) Stop(context.Context) error  { fmt.Println("stop", d); return nil }
func (d door) Start(context.Context) error { fmt.Println("start", d); return nil }

// The application's entry is closed first and opened last.
func ExampleFence() {
	fence := roles.Fence(door("entry"), door("service"), door("database"))
	ctx := context.Background()
	fmt.Println(fence.Close(ctx))
	fmt.Println(fence.Open(ctx))
	// Output:
	// close entry
	// close service
	// close database
	// <nil>
	// open database
	// open service
	// open entry
	// <nil>
}

// Installer and probe enter this database by the application's own role: it is
// closed for its snapshot alone, and the entry keeps users out.
func ExampleOpenOnly() {
	dir, err := os.MkdirTemp("", "roles")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	live := filepath.Join(dir, "data")
	if err := os.Mkdir(live, 0o700); err != nil {
		fmt.Println(err)
		return
	}
	database := door("database")
	data := roles.Data{Store: &backup.Store{Dir: filepath.Join(dir, "backups")}, Name: "data", Target: &files.Directory{Path: live}, Fence: database}
	fence := roles.Fence(door("entry"), roles.OpenOnly(database))
	ctx := context.Background()
	_ = fence.Close(ctx)
	_, err = data.Snapshot(ctx)
	fmt.Println("snapshot taken:", err == nil)
	_ = fence.Open(ctx) // also if this process had died in Snapshot
	// Output:
	// close entry
	// close database
	// open database
	// snapshot taken: true
	// open database
	// open entry
}

func ExampleApplication() {
	app := roles.Application(door("pages"), door("server"))
	ctx := context.Background()
	_ = app.Stop(ctx)
	_ = app.Start(ctx)
	// Output:
	// stop pages
	// stop server
	// start server
	// start pages
}

// A Switch is for what has commands and no service.
func ExampleSwitch() {
	state, err := os.MkdirTemp("", "roles")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(state) }()
	entry := roles.Switch{
		Off: roles.Command{Argv: program("say", "closed"), State: state}, // such as /opt/asp/bin/entry close
		On:  roles.Command{Argv: program("fail"), State: state},
	}
	ctx := context.Background()
	fmt.Println(entry.Close(ctx))
	fmt.Println(entry.Open(ctx) != nil)
	// Output:
	// <nil>
	// true
}

// The application restructures each database on request, and reports when it is done.
func ExampleMigrator() {
	state, err := os.MkdirTemp("", "roles")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(state) }()
	office := roles.Migrator{
		Command: roles.Command{Argv: program("say", "restructuring"), State: state}, // such as curl -d office=1 http://127.0.0.1/restructure
		GoesOn:  true,
		Structure: install.ProbeFunc(func(context.Context) (string, error) { // or an install.SQLProbe
			return "7.13.100", nil
		}),
	}
	ctx := context.Background()
	fmt.Println(office.Migrate(ctx, "7.13.100"))
	fmt.Println(office.Migrated(ctx, "7.13.100"))
	// Output:
	// true <nil>
	// true <nil>
}

func ExampleCommand_Run() {
	state, err := os.MkdirTemp("", "roles")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(state) }()
	mailer := roles.Command{Argv: program("say", "sent"), Environment: []string{"SMTP_PASSWORD"}, State: state}
	fmt.Println(mailer.Run(context.Background(), []byte("an event, on its standard input")))
	// Output: <nil>
}

func ExampleData() {
	dir, err := os.MkdirTemp("", "roles")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rows := filepath.Join(dir, "data", "rows")
	_ = os.Mkdir(filepath.Dir(rows), 0o700)
	_ = os.WriteFile(rows, []byte("children and wards"), 0o600)

	data := roles.Data{
		Store: &backup.Store{Dir: filepath.Join(dir, "backups")}, Name: "data",
		Target: &files.Directory{Path: filepath.Dir(rows)}, // or a *postgres.Database
	}
	ctx := context.Background()
	ref, err := data.Snapshot(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("every byte is what was sealed:", data.Verify(ctx, ref) == nil)
	_ = os.WriteFile(rows, []byte("damaged by an update"), 0o600)
	if err := data.Restore(ctx, ref); err != nil {
		fmt.Println(err)
		return
	}
	text, err := os.ReadFile(rows)
	fmt.Println(string(text), err)
	fmt.Println(data.Tidy(ctx)) // the damaged rows were kept until now
	// Output:
	// every byte is what was sealed: true
	// children and wards <nil>
	// <nil>
}

func ExampleInstallers() {
	dir, err := os.MkdirTemp("", "roles")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	versions := &archive.Archive{Dir: filepath.Join(dir, "archive")}
	add := func(v string) (archive.Item, error) {
		file := filepath.Join(dir, "setup.ps1")
		if err := os.WriteFile(file, []byte("the installer of "+v), 0o600); err != nil {
			return archive.Item{}, err
		}
		key := archive.Key{Distribution: "ASP", Version: version.MustParse(v), Variant: version.Setup}
		return versions.Import(ctx, file, key, archive.Unauthenticated("an example"))
	}
	from, err := add("7.12.100")
	if err != nil {
		fmt.Println(err)
		return
	}
	to, err := add("7.13.100")
	if err != nil {
		fmt.Println(err)
		return
	}

	opener, err := os.Executable() // such as powershell
	if err != nil {
		fmt.Println(err)
		return
	}
	part := rollback.Part{
		Name: "ASP", From: roles.Release(from), To: roles.Release(to),
		Installer: roles.Installers{
			Archive: versions, Runner: &install.Runner{State: filepath.Join(dir, "install")},
			From: from.Key, To: to.Key,
			Command: install.Command{Launcher: []string{opener, "-File"}, Args: []string{"-Silent"}},
		}.Role(),
	}
	fmt.Println(part.From, part.To)
	fmt.Println("ready:", part.Installer.Ready(ctx, part.To) == nil)
	fmt.Println(part.Installer.Ready(ctx, rollback.Release{Version: "7.13.200"}))
	// Output:
	// 7.12.100 (unauthenticated) 7.13.100 (unauthenticated)
	// ready: true
	// release 7.13.200 with the hash "" is not among the installers of this update
}

func ExampleProbe() {
	answers := []string{"", "7.12.100", "7.13.100"}
	probe := roles.Probe{
		Interval: time.Millisecond,
		Probe: install.ProbeFunc(func(context.Context) (string, error) { // or an install.HTTPProbe
			answer := answers[0]
			answers = answers[1:]
			if answer == "" {
				return "", errors.New("the database is being restructured")
			}
			return answer, nil
		}),
	}
	fmt.Println(probe.Await(context.Background(), "7.13.100"))
	// Output: <nil>
}

func ExampleWindow() {
	window := roles.Window{Estimate: schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}}
	wednesday := time.Date(2026, 3, 4, 20, 0, 0, 0, schedule.MSK(0)) // the release (R1)
	slot, err := window.Next(context.Background(), wednesday)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("from", slot.Start.In(schedule.MSK(0)).Format("Mon 15:04"), "to", slot.LatestStart.In(schedule.MSK(0)).Format("Mon 15:04"))
	// Output: from Thu 10:00 to Thu 16:01
}
