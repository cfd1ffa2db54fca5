// Command embed is a whole update with the roles of package rollback/roles: embed -from 7.12.100 -to 7.13.100 /srv/asp
package main

import (
	"context"
	"errors"
	"flag"
	"log"
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

func main() {
	from, to := archive.Key{Distribution: "ASP", Variant: version.Setup}, archive.Key{Distribution: "ASP", Variant: version.Setup}
	flag.TextVar(&from.Version, "from", version.Version{}, "installed `version`")
	flag.TextVar(&to.Version, "to", version.Version{}, "`version` to install")
	var window rollback.Window = roles.Window{Estimate: schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}}
	flag.Func("any-time", "`reason` to ignore the support hours (R13); recorded", func(why string) error { window = rollback.AnyTime(why); return nil })
	flag.Parse()
	u, err := update(flag.Arg(0), from, to, window)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := u.Recover(context.Background()); err != nil { // at every start: it ends what a crash or a restart cut short
		log.Fatal(err)
	}
	plan, err := u.Plan(context.Background()) // writes nothing
	if err != nil {
		log.Fatal(err) // a refusal says why, and what to do
	}
	if _, err := u.Run(context.Background(), plan); err != nil { // refuses if anything that the plan shows has changed
		log.Fatal(err)
	}
}

func update(dir string, from, to archive.Key, window rollback.Window) (*rollback.Update, error) {
	in := func(path string) string { return filepath.Join(dir, path) }
	versions, backups := &archive.Archive{Dir: in("archive")}, &backup.Store{Dir: in("backups")}
	old, errOld := versions.Get(from)
	next, errNext := versions.Get(to)
	return &rollback.Update{
		Dir: in("state"), Live: []string{in("app"), in("data")}, Kept: []string{versions.Dir, backups.Dir},
		Window: window, Observe: func(e rollback.Event) { log.Println(e) },
		Fence: roles.Fence{roles.Switch{Off: roles.Command{Argv: []string{in("bin/close")}}, On: roles.Command{Argv: []string{in("bin/open")}}}},
		Data:  []rollback.Dataset{{Name: "data", Data: roles.Data{Store: backups, Name: "data", Target: &files.Directory{Path: in("data")}}}},
		Parts: []rollback.Part{{Name: "ASP", From: roles.Release(old), To: roles.Release(next),
			Installer: roles.Installers{Archive: versions, Runner: &install.Runner{State: in("state/install")}, From: old.Key, To: next.Key,
				Command: install.Command{Args: []string{"/S", "/D=" + in("app")}}}.Role(),
			Probe: roles.Probe{Probe: install.CommandProbe{Path: in("bin/version")}}}},
	}, errors.Join(errOld, errNext)
}
