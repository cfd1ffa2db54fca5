package rollback_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A folderSite is an installation with real parts that every system has: a
// folder with the software and its data, backed up by package backup, and
// installers that are processes of their own, run by package install.
type folderSite struct{ root string }

func (s folderSite) path(name string) string { return filepath.Join(s.root, filepath.FromSlash(name)) }

func (s folderSite) read(name string) string {
	b, _ := os.ReadFile(s.path(name))
	return string(b)
}

func (s folderSite) put(name, text string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(s.path(name)), 0o700), os.WriteFile(s.path(name), []byte(text), 0o600))
}

func (s folderSite) archived(version rollback.Version) rollback.Release {
	sum := sha256.Sum256([]byte(s.read("archive/" + string(version))))
	return rollback.Release{Version: version, SHA256: hex.EncodeToString(sum[:]), VouchedBy: "test"}
}

func (s folderSite) runner() *install.Runner { return &install.Runner{State: s.path("own/install")} }

func (s folderSite) Close(context.Context) error { return s.put("own/closed", "yes") }
func (s folderSite) Open(context.Context) error  { return os.RemoveAll(s.path("own/closed")) }

func (s folderSite) store() (*backup.Store, backup.Target) {
	return &backup.Store{Dir: s.path("backups")}, &files.Directory{Path: s.path("live")}
}

func (s folderSite) Snapshot(ctx context.Context) (string, error) {
	store, live := s.store()
	snap, err := store.Take(ctx, "before an update", live)
	return snap.ID, err
}

func (s folderSite) Verify(ctx context.Context, ref string) error {
	store, _ := s.store()
	return store.Verify(ctx, ref)
}

func (s folderSite) Restore(ctx context.Context, ref string) error {
	store, live := s.store()
	_, err := store.Restore(ctx, ref, live)
	return err
}

func (s folderSite) Tidy(ctx context.Context) error {
	_, live := s.store()
	return live.(backup.Tidier).Tidy(ctx)
}

func (s folderSite) Ready(_ context.Context, r rollback.Release) error {
	if s.archived(r.Version) != r {
		return errors.New("another hash")
	}
	return nil
}

func (s folderSite) Install(ctx context.Context, r rollback.Release) error {
	_, err := s.runner().Run(ctx, install.Command{
		Path: s.path("archive/" + string(r.Version)), SHA256: r.SHA256, Launcher: []string{os.Args[0]}, Args: []string{s.path("live")},
		Env: append(install.BaseEnv(), "ROLLBACK_TEST_AS=setup"),
	})
	return err
}

func (s folderSite) Settle(ctx context.Context) (bool, error) {
	found, err := s.runner().Settle(ctx)
	return found.Found == install.Finished, err
}

func (s folderSite) check(context.Context) (rollback.Version, error) {
	app, data := s.read("live/app"), s.read("live/data")
	if schema, _, _ := strings.Cut(data, "\n"); app != schema || !strings.Contains(data, "row 2") {
		return "", fmt.Errorf("software %q on data %q", app, data)
	}
	return rollback.Version(app), nil
}

// setup is an installer: it takes its time over the data.
func setup() {
	version, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	s := folderSite{filepath.Dir(os.Args[2])}
	text, kind, _ := strings.Cut(string(version), " ")
	_, rows, _ := strings.Cut(s.read("live/data"), "\n")
	err = s.put("live/data", "half")
	time.Sleep(20 * time.Millisecond)
	if kind == "bad" {
		rows = ""
	}
	if err := errors.Join(err, s.put("live/app", text), s.put("live/data", text+"\n"+rows)); err != nil {
		panic(err)
	}
}

func (s folderSite) update() *rollback.Update {
	u := &rollback.Update{
		Dir: s.path("own/state"), Fence: s, Window: rollback.AnyTime("a test"), Steady: 20 * time.Millisecond,
		Data:      []rollback.Dataset{{Name: "folder", Data: s}},
		Deadlines: rollback.Deadlines{Probe: 300 * time.Millisecond, Decide: 100 * time.Millisecond},
		Parts: []rollback.Part{{
			Name: "ASP", From: s.archived(oldVersion), To: s.archived(newVersion),
			Installer: s, Probe: rollback.Poll(s.check, 10*time.Millisecond),
		}},
	}
	return u.Tune(0, time.Millisecond, nil, "")
}

// folderUpdater updates or recovers the site in its folder, and kills itself
// at the record that it was told.
func folderUpdater() {
	moment, _ := strconv.Atoi(os.Getenv("ROLLBACK_TEST_MOMENT"))
	u, ctx := folderSite{os.Getenv("ROLLBACK_TEST_WORLD")}.update(), context.Background()
	u.Observe = func(rollback.Event) {
		if moment--; moment == 0 {
			me, _ := os.FindProcess(os.Getpid())
			_ = me.Kill() // SIGKILL, or TerminateProcess
			select {}
		}
	}
	res, err := u.Recover(ctx)
	if err == nil && res.Outcome == rollback.Nothing && os.Getenv("ROLLBACK_TEST_RECOVER") == "" {
		var plan rollback.Plan
		if plan, err = u.Plan(ctx); err == nil {
			res, err = u.Run(ctx, plan)
		}
	}
	if res.Outcome != rollback.RolledBack && err != nil {
		fmt.Println(err)
		os.Exit(4)
	}
}

func newFolderSite(t *testing.T, kind string) folderSite {
	t.Helper()
	s := folderSite{realtest.TempDir(t)}
	require.NoError(t, errors.Join(
		s.put("archive/"+oldVersion, oldVersion+" good"), s.put("archive/"+newVersion, newVersion+" "+kind),
		s.put("live/app", oldVersion), s.put("live/data", oldVersion+"\n"+oldRows)))
	return s
}

// recovered lets a fresh process recover, and fails unless all is old, or all
// is new, and nothing that a rollback needs is gone.
func (s folderSite) recovered(t *testing.T) string {
	t.Helper()
	out, err := as("folder", "ROLLBACK_TEST_WORLD="+s.root, "ROLLBACK_TEST_RECOVER=1").CombinedOutput()
	require.NoError(t, err, "%s", out)
	v, err := s.check(t.Context())
	require.NoError(t, err)
	require.Equal(t, string(v)+"\n"+oldRows, s.read("live/data"))
	require.NoFileExists(t, s.path("own/closed"))
	st, err := rollback.ReadStatus(s.path("own/state"))
	require.NoError(t, err)
	require.Nil(t, st.Pending)
	if r, ok := st.Committed["ASP"]; ok {
		require.Equal(t, s.archived(v), r)
	}
	for _, ref := range st.Needed() {
		require.NoError(t, s.Verify(t.Context(), ref))
	}
	return string(v)
}

// stride is the distance of the moments that a test visits: each one, and on
// Windows, where Wine takes minutes for that, every fourth unless
// ASPUPDATE_SOAK=1.
func stride() int {
	if runtime.GOOS == "windows" && os.Getenv("ASPUPDATE_SOAK") != "1" {
		return 4
	}
	return 1
}

// TestKilledAtEveryStepOfAFolder kills a real process at every (step, phase)
// of a good release and of a bad one, on Windows at some of them: [stride].
func TestKilledAtEveryStepOfAFolder(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"good", "bad"} {
		ends := map[string]int{}
		for moment := 1; ; moment += stride() {
			s := newFolderSite(t, kind)
			out, err := as("folder", "ROLLBACK_TEST_WORLD="+s.root, "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment)).CombinedOutput()
			if err == nil {
				break // it ended before that moment
			}
			require.Empty(t, out, "it was killed")
			ends[s.recovered(t)]++
		}
		t.Logf("%s release: %v", kind, ends)
		require.Positive(t, ends[oldVersion])
		require.Equal(t, kind == "good", ends[newVersion] > 0)
	}
}

// TestSoakKilledFolder kills real processes at random times, their recoveries
// too: five updates, or 200 where ASPUPDATE_SOAK=1 asks for it.
func TestSoakKilledFolder(t *testing.T) {
	t.Parallel()
	updates := 5
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		updates = 200
	}
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	begun := time.Now()
	require.NoError(t, as("folder", "ROLLBACK_TEST_WORLD="+newFolderSite(t, "good").root).Run())
	length := time.Since(begun)
	kills, ends := 0, map[string]int{}
	for range updates {
		s := newFolderSite(t, []string{"good", "bad"}[rnd.IntN(2)])
		for range 1 + rnd.IntN(3) { // fewer than its attempts
			cmd := as("folder", "ROLLBACK_TEST_WORLD="+s.root)
			require.NoError(t, realtest.Start(cmd))
			time.Sleep(time.Duration(rnd.Int64N(int64(length))))
			if cmd.Process.Kill() == nil {
				kills++
			}
			_ = cmd.Wait()
		}
		ends[s.recovered(t)]++
	}
	t.Logf("seed %d: %d kills, %v", seed, kills, ends)
	require.Positive(t, kills)
}

// TestGuardOnRealParts deletes and flips, just before the first damage, each
// file that a rollback needs: the snapshot's, and both Setups.
func TestGuardOnRealParts(t *testing.T) {
	t.Parallel()
	cases := 0
	for n := 0; ; n++ {
		s := newFolderSite(t, "good")
		u, harmed := s.update(), ""
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		u.Observe = func(e rollback.Event) {
			if e.Step == rollback.StepSnapshot && e.Kind == rollback.EventDone {
				harmed = s.harm(t, n, []string{"archive/" + oldVersion, "archive/" + newVersion}, "backups/"+e.Reference())
			}
		}
		res, err := u.Run(t.Context(), plan)
		if harmed == "" {
			require.NoError(t, err)
			break
		}
		cases++
		refusal, ok := errors.AsType[*rollback.Error](err)
		require.True(t, ok, "%s: %v", harmed, err)
		require.Contains(t, []rollback.Reason{rollback.ReasonBackup, rollback.ReasonPrevious, rollback.ReasonInstaller}, refusal.Reason, harmed)
		require.Equal(t, rollback.Abandoned, res.Outcome)
		require.NoDirExists(t, s.path("own/install"), "no installer was called")
		require.Equal(t, oldVersion+"\n"+oldRows, s.read("live/data"))
	}
	t.Logf("%d refusals", cases)
	require.Greater(t, cases, 30)
}

// harm deletes one of the files, or flips one bit of it, and says which; "" if
// there is no n-th thing to harm.
func (s folderSite) harm(t *testing.T, n int, list []string, below string) string {
	t.Helper()
	require.NoError(t, filepath.WalkDir(s.path(below), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(s.root, path)
			list = append(list, path)
		}
		return err
	}))
	const places = 9
	if n >= len(list)*(places+1) {
		return ""
	}
	name := list[n/(places+1)]
	if n%(places+1) == 0 {
		require.NoError(t, os.Remove(s.path(name)))
		return name + " deleted"
	}
	b := []byte(s.read(name))
	at := (n%(places+1) - 1) * (len(b) - 1) / (places - 1)
	b[at] ^= 1 << (n % 8)
	require.NoError(t, os.WriteFile(s.path(name), b, 0o600))
	return fmt.Sprintf("%s flipped at byte %d", name, at)
}
