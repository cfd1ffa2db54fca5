package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A world is a machine in a folder: an application for each part, data for
// each part, a fence, an archive of versions and snapshots. Being made of
// files it outlives the process that works on it, so that the same world
// serves tests that fail, tests that panic and tests that are killed.
//
//	app.<part>            the version of the software
//	data.<part>           "schema <version>", then a row a line
//	fence                 there while users are kept out
//	archive.<part>.<version>
//	snapshot.<part>.<n>
type world struct {
	root  string
	parts []string
	fault func(call string) error // asked before and after each role call
	calls []string
	boot  string
	// reboots names the installs ("part version") that ask for a restart.
	reboots map[string]bool
	// migrates makes the installers leave the data to migrations.
	migrates bool
	durable  bool // what a role did is synced before it returns
	now      func() time.Time
	mu       sync.Mutex // guards calls: datasets may be called concurrently
}

const (
	oldVersion = "7.12.100"
	newVersion = "7.13.100"
)

// newWorld makes a machine that runs oldVersion, with both versions'
// installers in the archive.
func newWorld(t testing.TB, parts ...string) *world {
	w := &world{root: realtest.TempDir(t), parts: parts, boot: "boot-1"}
	for _, p := range parts {
		w.write(t, "app."+p, oldVersion)
		w.write(t, "data."+p, "schema "+oldVersion+"\nrow 1\nrow 2\n")
		w.write(t, "archive."+p+"."+oldVersion, "good")
		w.write(t, "archive."+p+"."+newVersion, "good")
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.root, name) }

func (w *world) write(t testing.TB, name, text string) {
	require.NoError(t, os.WriteFile(w.path(name), []byte(text), 0o600))
}

func (w *world) read(name string) string {
	b, err := os.ReadFile(w.path(name))
	if err != nil {
		return ""
	}
	return string(b)
}

// put replaces a file as a whole.
func (w *world) put(name, text string) error {
	if w.durable {
		return durable.WriteFile(w.path(name), []byte(text), 0o600)
	}
	tmp := w.path(name + ".tmp")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, w.path(name))
}

// call wraps a role's work in the two places where it can fail.
func (w *world) call(name string, work func() error) error {
	w.mu.Lock()
	w.calls = append(w.calls, name)
	w.mu.Unlock()
	if w.fault != nil {
		if err := w.fault(name); err != nil {
			return err
		}
	}
	if err := work(); err != nil {
		return err
	}
	if w.fault != nil {
		return w.fault(name + " after")
	}
	return nil
}

func (w *world) update() *rollback.Update {
	u := &rollback.Update{
		Dir: w.path("state"), Fence: fence{w}, App: app{w}, Window: rollback.AnyTime("a test"),
		Now: w.now, Steady: time.Millisecond,
		Deadlines: rollback.Deadlines{Fence: 4 * time.Millisecond, Probe: 4 * time.Millisecond, Decide: 4 * time.Millisecond},
	}
	u.Tune(0, time.Millisecond, func() (string, error) { return w.boot, nil }, "tester")
	for _, p := range w.parts {
		u.Parts = append(u.Parts, rollback.Part{
			Name: p, Installer: installer{w, p},
			From:  rollback.Release{Version: oldVersion, SHA256: "old", VouchedBy: "test"},
			To:    rollback.Release{Version: newVersion, SHA256: "new", VouchedBy: "test"},
			Probe: probe{rollback.Poll(func(context.Context) (rollback.Version, error) { return w.version(p) }, time.Millisecond), w},
		})
		u.Data = append(u.Data, rollback.Dataset{Name: p, Data: data{w, p}})
		if w.migrates {
			u.Parts[len(u.Parts)-1].Migrations = []rollback.Migration{{Name: p, Migrator: migrator{w, p}}}
		}
	}
	return u
}

// run plans and runs.
func (w *world) run(t testing.TB) (rollback.Result, error) {
	u := w.update()
	plan, err := u.Plan(t.Context())
	if err != nil {
		return rollback.Result{}, err
	}
	return u.Run(t.Context(), plan)
}

// version is what the application says about itself.
func (w *world) version(part string) (rollback.Version, error) {
	v := w.read("app." + part)
	schema, _, _ := strings.Cut(strings.TrimPrefix(w.read("data."+part), "schema "), "\n")
	switch {
	case v == "" && schema == "":
		return "", nil
	case w.read("running") != "yes" && w.read("ever-stopped") == "yes":
		return "", errors.New("connection refused")
	case v != schema:
		return "", fmt.Errorf("software %q on a schema %q", v, schema)
	case strings.Contains(w.read("data."+part), "broken"):
		return "", errors.New("internal server error")
	}
	return rollback.Version(v), nil
}

// consistent fails unless every part is old+old or every part is new+new,
// and returns which.
func (w *world) consistent(t testing.TB) string {
	t.Helper()
	var versions []string
	for _, p := range w.parts {
		v, err := w.version(p)
		require.NoError(t, err)
		require.Contains(t, []rollback.Version{oldVersion, newVersion}, v)
		rows := "row 1\nrow 2\n"
		require.Equal(t, "schema "+string(v)+"\n"+rows, w.read("data."+p), "no row lost, none left over")
		versions = append(versions, string(v))
	}
	for _, v := range versions {
		require.Equal(t, versions[0], v, "a bundle goes together")
	}
	return versions[0]
}

// fenced reports whether users are kept out.
func (w *world) fenced() bool { return w.read("fence") != "" }

// intact fails unless everything that a rollback needs is still there.
func (w *world) intact(t testing.TB) {
	t.Helper()
	for _, p := range w.parts {
		require.Equal(t, "good", w.read("archive."+p+"."+oldVersion))
		st, err := rollback.ReadStatus(w.path("state"))
		require.NoError(t, err)
		if st.Pending != nil && st.Pending.Damaged {
			require.Equal(t, "schema "+oldVersion+"\nrow 1\nrow 2\n", w.read(st.Pending.References()[p]))
		}
	}
}

type fence struct{ w *world }

func (f fence) Close(context.Context) error {
	return f.w.call("fence.close", func() error { return f.w.put("fence", "closed") })
}

func (f fence) Open(context.Context) error {
	return f.w.call("fence.open", func() error { return f.w.put("fence", "") })
}

type app struct{ w *world }

func (a app) Stop(context.Context) error {
	return a.w.call("app.stop", func() error {
		return errors.Join(a.w.put("ever-stopped", "yes"), a.w.put("running", ""))
	})
}

func (a app) Start(context.Context) error {
	return a.w.call("app.start", func() error { return a.w.put("running", "yes") })
}

type data struct {
	w    *world
	part string
}

var serial atomic.Int64

func (d data) Snapshot(context.Context) (ref string, err error) {
	err = d.w.call("snapshot "+d.part, func() error {
		if !d.w.fenced() {
			return errors.New("snapshot of data that users still change")
		}
		// Another process may have used the number.
		for ref == "" || d.w.read(ref) != "" {
			ref = fmt.Sprintf("snapshot.%s.%d", d.part, serial.Add(1))
		}
		return d.w.put(ref, d.w.read("data."+d.part))
	})
	return ref, err
}

func (d data) Verify(_ context.Context, ref string) error {
	return d.w.call("verify "+d.part, func() error {
		if !strings.HasPrefix(d.w.read(ref), "schema ") {
			return errors.New("damaged")
		}
		return nil
	})
}

func (d data) Restore(_ context.Context, ref string) error {
	return d.w.call("restore "+d.part, func() error {
		if !d.w.fenced() {
			return errors.New("restore under the users' hands")
		}
		return d.w.put("data."+d.part, d.w.read(ref))
	})
}

type installer struct {
	w    *world
	part string
}

func (i installer) Ready(_ context.Context, r rollback.Release) error {
	return i.w.call("ready "+i.part+" "+string(r.Version), func() error {
		switch i.w.read("archive." + i.part + "." + string(r.Version)) {
		case "good", "bad":
			return nil
		case "":
			return errors.New("not in the archive")
		}
		return errors.New("not what was archived")
	})
}

// Install changes the data half, then the software, then the rest of the
// data: three moments in which it can be cut short.
func (i installer) Install(_ context.Context, r rollback.Release) error {
	version := string(r.Version)
	err := i.w.call("install "+i.part+" "+version, func() error {
		if !i.w.fenced() {
			return errors.New("install under the users' hands")
		}
		if i.w.migrates {
			return i.w.put("app."+i.part, version)
		}
		_, rows, _ := strings.Cut(i.w.read("data."+i.part), "\n")
		if err := i.w.put("data."+i.part, "schema half\n"+rows); err != nil {
			return err
		}
		if i.w.fault != nil {
			if err := i.w.fault("install " + i.part + " " + version + " half"); err != nil {
				return err
			}
		}
		if err := i.w.put("app."+i.part, version); err != nil {
			return err
		}
		if i.w.read("archive."+i.part+"."+version) == "bad" {
			rows = "broken\n"
		}
		return i.w.put("data."+i.part, "schema "+version+"\n"+rows)
	})
	if err == nil && i.w.reboots[i.part+" "+version] {
		err = fmt.Errorf("exit code 3010: %w", rollback.ErrReboot)
	}
	return err
}

func (i installer) Settle(context.Context) (bool, error) {
	return false, i.w.call("settle "+i.part, func() error { return nil })
}

// A remover is an installer that can take a version off.
type remover struct{ installer }

func (r remover) Remove(context.Context, rollback.Release) error {
	return r.w.call("remove "+r.part, func() error {
		return errors.Join(r.w.put("app."+r.part, ""), r.w.put("data."+r.part, ""))
	})
}

type probe struct {
	rollback.Probe
	w *world
}

func (p probe) Await(ctx context.Context, want rollback.Version) error {
	return p.w.call("await "+string(want), func() error { return p.Probe.Await(ctx, want) })
}
