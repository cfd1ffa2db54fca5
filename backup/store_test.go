package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// memory is a target whose live data are a few files in memory.
type memory struct {
	kind  string // "none" for none
	name  string // what Meta.Target says
	live  map[string]string
	sums  map[string]string
	fail  error
	hook  func(dir string)
	calls int
}

func (m *memory) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	for name, text := range m.live {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return backup.Meta{}, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return backup.Meta{}, err
		}
	}
	if m.hook != nil {
		m.hook(dir)
	}
	kind := "memory"
	if m.kind == "none" {
		kind = ""
	}
	return backup.Meta{Kind: kind, Target: m.name, Engine: "RAM", Detail: []byte(`{"a":1}`), Sums: m.sums}, errors.Join(m.fail, ctx.Err())
}

func (m *memory) Restore(_ context.Context, dir string, meta backup.Meta) (backup.Restored, error) {
	m.calls++
	if string(meta.Detail) != `{"a":1}` && !strings.Contains(string(meta.Detail), `"a": 1`) {
		return nil, errors.New("detail came back as " + string(meta.Detail))
	}
	live := map[string]string{}
	for name := range m.live {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		live[name] = string(data)
	}
	m.live = live
	return nothing{}, nil
}

func (m *memory) Needs(context.Context) ([]backup.Need, error) {
	return []backup.Need{{Bytes: 5, For: backup.ForSnapshot}, {Path: "/db", Bytes: 7, For: backup.ForClone}}, nil
}

type nothing struct{}

func (nothing) Undo(context.Context) error    { return nil }
func (nothing) Discard(context.Context) error { return nil }

func newMemory() *memory {
	return &memory{live: map[string]string{"a.txt": "hello", "папка/б.bin": strings.Repeat("\x00\xff", 900), "empty": ""}}
}

func newStore(t *testing.T) *backup.Store {
	t.Helper()
	return &backup.Store{Dir: filepath.Join(t.TempDir(), "store")}
}

// left returns the names of everything in the store but the lock.
func left(t *testing.T, s *backup.Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.Dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		if e.Name() != ".lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestR9SnapshotIsSealedVerifiedAndPrivate(t *testing.T) {
	s, m := newStore(t), newMemory()
	var stages []backup.EventKind
	s.Observe = func(e backup.Event) { stages = append(stages, e.Kind) }
	at := time.Date(2026, 1, 12, 10, 0, 0, 123456789, time.FixedZone("MSK", 3*3600))
	s.Now = func() time.Time { return at }
	snap, err := s.Take(t.Context(), "до 7.13.100", m)
	require.NoError(t, err)
	require.Equal(t, []backup.EventKind{"backup", "seal", "verify", backup.EventSealed}, stages)
	require.Regexp(t, `^20260112-070000\.123456-[0-9a-f]{8}$`, snap.ID, "UTC")
	require.Len(t, snap.Files, 3)
	require.Equal(t, int64(5+1800), snap.Bytes())
	require.Equal(t, []string{snap.ID}, left(t, s))

	again := &backup.Store{Dir: s.Dir} // another process
	got, err := again.Get(snap.ID)
	require.NoError(t, err)
	require.JSONEq(t, string(snap.Meta.Detail), string(got.Meta.Detail))
	got.Meta.Detail = snap.Meta.Detail
	require.Equal(t, snap, got)
	require.NoError(t, again.Verify(t.Context(), snap.ID))

	m.live["a.txt"] = "changed"
	_, err = again.Restore(t.Context(), snap.ID, m)
	require.NoError(t, err)
	require.Equal(t, newMemory().live, m.live)

	if runtime.GOOS != "windows" {
		require.NoError(t, filepath.WalkDir(s.Dir, func(p string, d fs.DirEntry, err error) error {
			require.NoError(t, err)
			fi, err := d.Info()
			require.NoError(t, err)
			require.Zero(t, fi.Mode().Perm()&0o077, "%s is %v", p, fi.Mode())
			return nil
		}))
	}
}

// Any flipped bit and any other length, of the manifest and its seal too, is detected,
// and nothing is restored.
func TestEveryDamageIsDetected(t *testing.T) {
	s, m := newStore(t), newMemory()
	snap, err := s.Take(t.Context(), "x", m)
	require.NoError(t, err)
	root := filepath.Join(s.Dir, snap.ID)
	rng := rand.New(rand.NewPCG(1, 2))
	refused := func(t *testing.T, what string) {
		t.Helper()
		err := s.Verify(t.Context(), snap.ID)
		require.ErrorIs(t, err, backup.ErrDamaged, what)
		var e *backup.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, snap.ID, e.Subject)
	}
	require.NoError(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		whole, err := os.ReadFile(p)
		require.NoError(t, err)
		put := func(data []byte) { require.NoError(t, os.WriteFile(p, data, 0o600)) }
		for i := 0; i < min(250, 8*len(whole)); i++ {
			bit := rng.IntN(8 * len(whole))
			flipped := append([]byte(nil), whole...)
			flipped[bit/8] ^= 1 << (bit % 8)
			put(flipped)
			refused(t, fmt.Sprintf("%s: bit %d", p, bit))
		}
		for i := range 100 {
			if n := len(whole) * i / 100; n < len(whole) {
				put(whole[:n])
				refused(t, fmt.Sprintf("%s: cut to %d", p, n))
			}
		}
		put(append(append([]byte(nil), whole...), 0))
		refused(t, p+": longer")
		require.NoError(t, os.Remove(p))
		refused(t, p+": missing")
		if runtime.GOOS != "windows" {
			require.NoError(t, os.Symlink("/etc/hostname", p))
			require.Error(t, s.Verify(t.Context(), snap.ID), "%s: a link", p)
			require.NoError(t, os.Remove(p))
		}
		put(whole)
		return nil
	}))
	for _, extra := range []string{"extra", "data/extra", "data/папка/extra"} {
		p := filepath.Join(root, filepath.FromSlash(extra))
		require.NoError(t, os.WriteFile(p, nil, 0o600))
		refused(t, extra)
		_, err := s.Restore(t.Context(), snap.ID, m)
		require.ErrorIs(t, err, backup.ErrDamaged)
		require.NoError(t, os.Remove(p))
	}
	require.Zero(t, m.calls, "the target is not called")
	require.NoError(t, s.Verify(t.Context(), snap.ID), "whole again")

	// A snapshot under the name of another is damaged.
	other := strings.Replace(snap.ID, snap.ID[:8], "20200101", 1)
	require.NoError(t, os.Rename(root, filepath.Join(s.Dir, other)))
	require.ErrorIs(t, s.Verify(t.Context(), other), backup.ErrDamaged)
}

func TestFailedBackupLeavesNoSnapshot(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "dump", Err: syscall.ENOSPC}
	for name, c := range map[string]struct {
		m   *memory
		say string
	}{
		"disk full":             {&memory{live: map[string]string{"half": "x"}, fail: full}, "take"},
		"nothing written":       {&memory{}, "wrote nothing"},
		"sum of a missing file": {&memory{live: map[string]string{"a": "x"}, sums: map[string]string{"b": strings.Repeat("0", 64)}}, "did not write"},
		"not what was meant": {&memory{live: map[string]string{"a": "x"}, sums: map[string]string{"a": strings.Repeat("0", 64)}},
			"damaged"},
		"no kind":        {&memory{kind: "none", live: map[string]string{"a": "x"}}, "set Meta.Kind"},
		"an invalid sum": {&memory{live: map[string]string{"a": "x"}, sums: map[string]string{"a": "zero"}}, "invalid size or sum"},
		"a link": {&memory{live: map[string]string{"a": "x"}, hook: func(dir string) { _ = os.Symlink("/etc/passwd", filepath.Join(dir, "l")) }},
			"neither a file nor a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "a link" && runtime.GOOS == "windows" {
				t.Skip("a link of Windows needs a right, and Wine makes another file")
			}
			s := newStore(t)
			_, err := s.Take(t.Context(), "x", c.m)
			require.ErrorContains(t, err, c.say)
			require.Empty(t, left(t, s))
			list, err := s.List()
			require.NoError(t, err)
			require.Empty(t, list)
		})
	}
	s := newStore(t)
	_, err := s.Take(t.Context(), "x", &memory{fail: full})
	require.ErrorIs(t, err, syscall.ENOSPC)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.Take(ctx, "canceled while it runs", &memory{live: map[string]string{"a": "x"}, hook: func(string) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, left(t, s))
}

func TestIDsSortEvenIfTheClockIsSetBack(t *testing.T) {
	s := newStore(t)
	now := time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)
	s.Now = func() time.Time { return now }
	var ids []string
	for i := range 6 {
		now = now.Add(time.Duration(i%2) * -time.Hour)
		snap, err := (&backup.Store{Dir: s.Dir, Now: s.Now}).Take(t.Context(), "x", newMemory())
		require.NoError(t, err)
		ids = append(ids, snap.ID)
	}
	list, err := s.List()
	require.NoError(t, err)
	require.Len(t, list, 6)
	for i, snap := range list {
		require.Equal(t, ids[i], snap.ID)
	}
}

func TestInvalidNamesAndIDs(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"", strings.Repeat("x", 201), "two\nlines", "bell\a", "\xff", "zero\x00"} {
		_, err := s.Take(t.Context(), name, newMemory())
		require.Error(t, err, "%q", name)
	}
	for _, name := range []string{"../../etc", "CON", "a/b\\c:d", "ПК «Опека»", "--help", " "} {
		snap, err := s.Take(t.Context(), name, newMemory())
		require.NoError(t, err, "%q", name)
		require.Equal(t, name, snap.Name)
	}
	for _, id := range []string{"", ".", "..", "../store", ".lock", "/", "20260112-070000.123456-0123456g", "20260112-070000.123456-01234567/..", "20260112-070000.123456-01234567"} {
		require.ErrorIs(t, s.Verify(t.Context(), id), backup.ErrNotFound, "%q", id)
		_, err := s.Get(id)
		require.ErrorIs(t, err, backup.ErrNotFound, "%q", id)
		_, err = s.Restore(t.Context(), id, newMemory())
		require.ErrorIs(t, err, backup.ErrNotFound, "%q", id)
	}
	_, err := s.Path("../x")
	require.ErrorIs(t, err, backup.ErrNotFound)
	_, err = (&backup.Store{}).Take(t.Context(), "x", newMemory())
	require.ErrorContains(t, err, "set Dir")
}

func TestTidyAfterAKilledTake(t *testing.T) {
	s := newStore(t)
	snap, err := s.Take(t.Context(), "x", newMemory())
	require.NoError(t, err)
	dead := filepath.Join(s.Dir, ".taking-20260112-070000.123456-01234567")
	require.NoError(t, os.MkdirAll(filepath.Join(dead, "data"), 0o700))
	foreign := filepath.Join(s.Dir, ".taking-notes")
	require.NoError(t, os.WriteFile(foreign, nil, 0o600))
	list, err := s.List()
	require.NoError(t, err)
	require.Len(t, list, 1)

	lock := flock.New(filepath.Join(s.Dir, ".lock")) // another Take is running
	require.NoError(t, lock.RLock())
	require.NoError(t, s.Tidy(t.Context()))
	require.DirExists(t, dead, "it could belong to that one")
	require.NoError(t, lock.Close())
	require.NoError(t, s.Tidy(t.Context()))
	require.NoDirExists(t, dead)
	require.FileExists(t, foreign)
	require.NoError(t, s.Verify(t.Context(), snap.ID))
	require.NoError(t, newStore(t).Tidy(t.Context()), "no store yet")
}

func TestListNamesDamagedSnapshots(t *testing.T) {
	s := newStore(t)
	a, err := s.Take(t.Context(), "a", newMemory())
	require.NoError(t, err)
	b, err := s.Take(t.Context(), "b", newMemory())
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(s.Dir, a.ID, "manifest.sha256")))
	list, err := s.List()
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.ErrorContains(t, err, a.ID)
	require.Len(t, list, 1)
	require.Equal(t, b.ID, list[0].ID)
}

func TestNeedsSetsThePathOfTheStore(t *testing.T) {
	s := newStore(t)
	needs, err := s.Needs(t.Context(), newMemory())
	require.NoError(t, err)
	require.Equal(t, []backup.Need{{Path: s.Dir, Bytes: 5, For: backup.ForSnapshot}, {Path: "/db", Bytes: 7, For: backup.ForClone}}, needs)
}

// The clock advances two seconds each time it is read: every megabyte is reported.
func TestProgress(t *testing.T) {
	s, m := newStore(t), newMemory()
	m.live["big"] = strings.Repeat("x", 3<<20)
	at := time.Date(2026, 1, 12, 4, 0, 0, 0, time.UTC)
	s.Now = func() time.Time { at = at.Add(2 * time.Second); return at }
	done, total := map[backup.EventKind]int64{}, map[backup.EventKind]int64{}
	var left []time.Duration
	s.Observe = func(e backup.Event) {
		switch {
		case e.Kind == "backup":
			left = append(left, e.Left)
		case e.Done > 0:
			require.Greater(t, e.Done, done[e.Kind])
			require.LessOrEqual(t, e.Done, e.Total)
			total[e.Kind] = e.Total
			require.Positive(t, e.Rate)
			require.Equal(t, e.Done < e.Total, e.Left > 0)
			done[e.Kind] = e.Done
		}
	}
	snap, err := s.Take(t.Context(), "x", m)
	require.NoError(t, err)
	require.Equal(t, map[backup.EventKind]int64{"seal": snap.Bytes(), "verify": snap.Bytes()}, done)
	require.Equal(t, done, total)
	clear(done)
	_, err = s.Take(t.Context(), "another", m)
	require.NoError(t, err)
	clear(done)
	_, err = s.Take(t.Context(), "x", m)
	require.NoError(t, err)
	require.Equal(t, []time.Duration{0, 0, snap.Sealed.Sub(snap.Started)}, left, "how long the last one of that name took")
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	s := newStore(t)
	snap, err := s.Take(t.Context(), "x", newMemory())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s.Observe = func(e backup.Event) {
		if e.Kind == "verify" {
			cancel()
		}
	}
	require.ErrorIs(t, s.Verify(ctx, snap.ID), context.Canceled)
	require.ErrorIs(t, s.Verify(ctx, snap.ID), context.Canceled)
}

func TestDamageIsDescribed(t *testing.T) {
	s := newStore(t)
	snap, err := s.Take(t.Context(), "x", newMemory())
	require.NoError(t, err)
	file := filepath.Join(s.Dir, snap.ID, "data", "a.txt")
	for text, want := range map[string]string{
		"hell":  "a.txt: the snapshot is damaged: 4 bytes, sealed with 5",
		"hellp": "a.txt: the snapshot is damaged: SHA-256 is ",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.ErrorContains(t, s.Verify(t.Context(), snap.ID), "verify "+snap.ID+": "+want)
	}
}

func TestEventsHaveATimeAndAText(t *testing.T) {
	s := newStore(t)
	var texts []string
	s.Observe = func(e backup.Event) {
		require.NotZero(t, e.Time)
		texts = append(texts, e.Text)
	}
	_, err := s.Take(t.Context(), "before 7.13.100", newMemory())
	require.NoError(t, err)
	require.Equal(t, []string{"before 7.13.100: backing up", "before 7.13.100: sealing", "before 7.13.100: verifying", "before 7.13.100: sealed"}, texts)
}
