package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/crashfs"
	"github.com/aspupdate/aspupdate/rollback"
)

// An idler fills every role and does nothing: what is left is what an update
// costs by itself.
type idler struct {
	version rollback.Version
	broken  bool // the new version never gets healthy
}

func (*idler) Close(context.Context) error { return nil }
func (*idler) Open(context.Context) error  { return nil }
func (*idler) Stop(context.Context) error  { return nil }
func (*idler) Start(context.Context) error { return nil }
func (*idler) Snapshot(context.Context) (string, error) {
	return fmt.Sprint("snapshot ", serial.Add(1)), nil
}
func (*idler) Verify(context.Context, string) error                      { return nil }
func (*idler) Restore(context.Context, string) error                     { return nil }
func (*idler) Ready(context.Context, rollback.Release) error             { return nil }
func (*idler) Settle(context.Context) (bool, error)                      { return false, nil }
func (i *idler) Version(context.Context) (v rollback.Version, err error) { return i.version, nil }
func (i *idler) Install(_ context.Context, r rollback.Release) error {
	i.version = r.Version
	return nil
}

func (i *idler) Await(_ context.Context, want rollback.Version) error {
	if i.broken && want != oldVersion {
		return errors.New("it is not healthy")
	}
	return nil
}

func (i *idler) update(dir string) *rollback.Update {
	u := &rollback.Update{
		Dir: dir, Fence: i, App: i, Window: rollback.AnyTime("a test"), Steady: time.Millisecond,
		Data: []rollback.Dataset{{Name: "data", Data: i}},
		Parts: []rollback.Part{{
			Name: "ASP", Installer: i, Probe: i,
			From: rollback.Release{Version: i.version}, To: rollback.Release{Version: newVersion, SHA256: "new"},
		}},
	}
	return u.Tune(0, time.Millisecond, nil, "tester")
}

// idle runs one update with roles that do nothing in each folder of the one
// it is given.
func idle() {
	dirs, err := os.ReadDir(os.Getenv("ROLLBACK_TEST_WORLD"))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, d := range dirs {
		i := &idler{version: oldVersion, broken: d.Name() == "back"}
		u := i.update(filepath.Join(os.Getenv("ROLLBACK_TEST_WORLD"), d.Name(), "state"))
		plan, err := u.Plan(ctx)
		if err != nil {
			panic(err)
		}
		_, _ = u.Run(ctx, plan)
	}
}

// TestAnUpdateCostsTwoSyncsAStep counts the syncs of an update with roles that
// do nothing, the making of folder and journal included, forward and back.
func TestAnUpdateCostsTwoSyncsAStep(t *testing.T) {
	t.Parallel()
	root := filepath.Join(crashfs.Dir(t), "w")
	require.NoError(t, errors.Join(os.MkdirAll(filepath.Join(root, "forward"), 0o700), os.Mkdir(filepath.Join(root, "back"), 0o700)))
	logs := crashfs.Trace(t, as("idle", "ROLLBACK_TEST_WORLD="+root), root).Split()
	for way, outcome := range map[string]rollback.Outcome{"forward": rollback.Committed, "back": rollback.RolledBack} {
		st, err := rollback.ReadStatus(filepath.Join(root, way, "state"))
		require.NoError(t, err)
		require.Equal(t, outcome, st.Last)
		records, err := rollback.ReadJournal(filepath.Join(root, way, "state"))
		require.NoError(t, err)
		steps, syncs := 0, 0
		for _, r := range records {
			if r.Kind != rollback.EventBegin {
				steps++
			}
		}
		for _, op := range logs[way].Ops {
			if op.Kind == crashfs.Sync {
				syncs++
			}
		}
		t.Logf("%s: %d syncs for %d steps", way, syncs, steps)
		require.LessOrEqual(t, syncs, 2*steps)
		require.GreaterOrEqual(t, syncs, len(records), "each record is synced")
	}
}

// ratio reports how the median of one list of times stands to another's.
func ratio(b *testing.B, ours, theirs []time.Duration, unit string) {
	median := func(d []time.Duration) float64 { slices.Sort(d); return float64(d[len(d)/2]) }
	b.ReportMetric(median(ours)/median(theirs), unit)
}

// BenchmarkUpdate runs an update with roles that do nothing, and in the same
// rounds as many bare writes with a sync as it has records.
func BenchmarkUpdate(b *testing.B) {
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, "bare"))
	require.NoError(b, err)
	line := make([]byte, 300)
	var ours, bare []time.Duration
	for n := 0; b.Loop(); n++ {
		u := (&idler{version: oldVersion}).update(filepath.Join(dir, fmt.Sprint(n)))
		plan, err := u.Plan(b.Context())
		require.NoError(b, err)
		begun := time.Now()
		_, err = u.Run(b.Context(), plan)
		ours = append(ours, time.Since(begun))
		require.NoError(b, err)
		records, err := rollback.ReadJournal(u.Dir)
		require.NoError(b, err)
		begun = time.Now()
		for range records {
			_, err := f.Write(line)
			require.NoError(b, errors.Join(err, f.Sync()))
		}
		bare = append(bare, time.Since(begun))
	}
	ratio(b, ours, bare, "x-bare-syncs")
	require.NoError(b, f.Close())
}

// A commander fills the roles with commands, as an operator's script has them.
type commander struct {
	idler
	dir string
	ran [][]string
}

func (c *commander) run(args ...string) error {
	c.ran = append(c.ran, args)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = c.dir
	return cmd.Run()
}

func (c *commander) Close(context.Context) error { return c.run("touch", "closed") }
func (c *commander) Open(context.Context) error  { return c.run("rm", "-f", "closed") }
func (c *commander) Stop(context.Context) error  { return c.run("rm", "-f", "running") }
func (c *commander) Start(context.Context) error { return c.run("touch", "running") }

func (c *commander) Restore(context.Context, string) error {
	return c.run("dd", "if=backup", "of=data", "bs=1M", "conv=fsync", "status=none")
}

func (c *commander) Install(_ context.Context, r rollback.Release) error {
	c.version = r.Version
	return c.run("dd", "if=setup", "of=app", "bs=1M", "conv=fsync", "status=none")
}

func (c *commander) Await(ctx context.Context, want rollback.Version) error {
	if err := c.idler.Await(ctx, want); err != nil {
		return err
	}
	return c.run("cmp", "backup", "data")
}

// BenchmarkRollback takes the whole rollback, from the probe that fails until
// users are in, with roles that are commands, and in the same rounds runs the
// same commands in a script.
func BenchmarkRollback(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("its commands are those of Linux")
	}
	dir := b.TempDir()
	for name, size := range map[string]int{"backup": 256 << 20, "setup": 32 << 20} {
		require.NoError(b, os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600))
	}
	var ours, script []time.Duration
	for n := 0; b.Loop(); n++ {
		c := &commander{idler: idler{version: oldVersion, broken: true}, dir: dir}
		u := c.update(filepath.Join(dir, fmt.Sprint(n)))
		u.Fence, u.App, u.Data[0].Data, u.Parts[0].Installer, u.Parts[0].Probe = c, c, c, c, c
		var begun time.Time
		u.Observe = func(e rollback.Event) {
			if e.Way() == rollback.Back && begun.IsZero() {
				begun, c.ran = time.Now(), nil
			}
		}
		plan, err := u.Plan(b.Context())
		require.NoError(b, err)
		res, _ := u.Run(b.Context(), plan)
		ours = append(ours, time.Since(begun))
		require.Equal(b, rollback.RolledBack, res.Outcome)

		text := "set -e\n"
		for _, args := range c.ran {
			for _, a := range args {
				text += "'" + a + "' "
			}
			text += "\n"
		}
		sh := exec.Command("/bin/sh", "-c", text)
		sh.Dir = dir
		begun = time.Now()
		require.NoError(b, sh.Run())
		script = append(script, time.Since(begun))
	}
	ratio(b, ours, script, "x-script")
}
