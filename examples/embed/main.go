// Command embed is a whole update with the roles of package rollback/roles: embed -from 7.12.100 -to 7.13.100 /srv/asp
package main

import (
	"context"
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
	steady := flag.Duration("steady", 30*time.Second, "how long it must stay healthy")
	var window rollback.Window = roles.Window{Estimate: schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}}
	flag.Func("any-time", "`reason` to ignore the support hours (R13); recorded", func(why string) error { window = rollback.AnyTime(why); return nil })
	flag.Parse()
	dir := must(filepath.Abs(flag.Arg(0)))
	versions := &archive.Archive{Dir: filepath.Join(dir, "archive")}
	u, ctx := update(dir, versions, window), context.Background()
	u.Steady = *steady
	must(u.Recover(ctx)) // at every start: it ends what a crash or a restart cut short, with the releases of the journal
	u.Parts[0].From, u.Parts[0].To = roles.Release(must(versions.Get(from))), roles.Release(must(versions.Get(to)))
	plan := must(u.Plan(ctx)) // writes nothing; a refusal says why, and what to do
	must(u.Run(ctx, plan))    // refuses if anything that the plan shows has changed
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func update(dir string, versions *archive.Archive, window rollback.Window) *rollback.Update {
	in := func(path string) string { return filepath.Join(dir, path) }
	backups, command := &backup.Store{Dir: in("backups")}, func(path string) roles.Command {
		return roles.Command{Argv: []string{in(path)}, State: in("state/commands")}
	}
	return &rollback.Update{
		Dir: in("state"), Live: []string{in("app"), in("data")}, Kept: []string{versions.Dir, backups.Dir},
		Window: window, Observe: func(e rollback.Event) { log.Println(e) }, Fence: roles.Switch{Off: command("bin/close"), On: command("bin/open")},
		Data: []rollback.Dataset{{Name: "data", Data: roles.Data{Store: backups, Name: "data", Target: &files.Directory{Path: in("data")}}}},
		Parts: []rollback.Part{{Name: "ASP", Probe: roles.Probe{Probe: install.CommandProbe{Path: in("bin/version")}},
			Installer: roles.Installers{Archive: versions, Runner: &install.Runner{State: in("state/install")}, From: archive.Key{Distribution: "ASP"},
				Command: install.Command{Args: []string{"/S", "/D=" + in("app")}}}.Role()}},
	}
}
