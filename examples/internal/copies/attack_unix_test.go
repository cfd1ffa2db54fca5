//go:build unix

package copies

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
)

// Who can write the place puts a link to a foreign file in the place of each temporary name,
// those that he knows beforehand and those that he sees.
func TestLinksInThePlaceLeadNowhere(t *testing.T) {
	w := newWorld(t)
	w.putAll(t)
	foreign := filepath.Join(t.TempDir(), "foreign")
	require.NoError(t, os.WriteFile(foreign, []byte("foreign"), 0o600))
	for _, name := range []string{ContentsFile, signatureFile, manualFile} {
		require.NoError(t, os.Symlink(foreign, filepath.Join(w.Dir, tempPrefix+name)))
	}
	s := w.sources[0]
	s.ID = "c"
	_, err := w.Put(t.Context(), s)
	require.NoError(t, err)
	requireForeign := func() {
		t.Helper()
		text, err := os.ReadFile(foreign)
		require.NoError(t, err)
		require.Equal(t, "foreign", string(text))
	}
	requireForeign()

	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for !done.Load() {
			_ = os.Symlink(foreign, filepath.Join(w.Dir, tempPrefix+"probe"))
			entries, _ := os.ReadDir(w.Dir)
			for _, e := range entries {
				if path := filepath.Join(w.Dir, e.Name()); strings.HasPrefix(e.Name(), tempPrefix) && os.Remove(path) == nil {
					_ = os.Symlink(foreign, path)
				}
			}
		}
	}()
	for range 100 {
		_ = w.Ready()
		_ = w.Republish()
	}
	done.Store(true)
	<-ended
	requireForeign()
	for _, name := range w.files(t) { // what he has left
		if fi, err := os.Lstat(filepath.Join(w.Dir, name)); err == nil && fi.Mode()&os.ModeSymlink != 0 {
			require.NoError(t, os.Remove(filepath.Join(w.Dir, name)))
		}
	}
	known, err := w.Known()
	require.NoError(t, err)
	require.NoError(t, w.publish(known))
	_, errs := w.Verify(t.Context())
	require.Empty(t, errs)
}

// A hook runs before a read: each asks the context first.
type hook struct {
	context.Context
	before func()
}

func (h hook) Err() error { h.before(); return h.Context.Err() }

// A share gives the bytes of the list at one time, and an attacker's at another: what is
// restored is what was compared.
func TestRestoreOfAPlaceThatAnswersDifferently(t *testing.T) {
	w := newWorld(t)
	w.sources = w.sources[:1]
	w.putAll(t)
	known, err := w.Known()
	require.NoError(t, err)
	name := filepath.Join(w.Dir, known.Copies[0].File)
	honest, err := os.ReadFile(name)
	require.NoError(t, err)

	// The attacker knows the public key of the recipient.
	from := filepath.Join(t.TempDir(), "from")
	require.NoError(t, os.MkdirAll(filepath.Join(from, "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(from, "data", "rows"), []byte("the attacker's rows"), 0o600))
	theirs := &Place{Dir: t.TempDir(), Recipients: w.Recipients, State: t.TempDir()}
	s := w.sources[0]
	s.Files = map[string]string{s.Path: from}
	forged, err := theirs.Put(t.Context(), s)
	require.NoError(t, err)
	other, err := os.ReadFile(filepath.Join(theirs.Dir, forged.File))
	require.NoError(t, err)

	for how, change := range map[string]func(){
		"another file": func() {
			require.NoError(t, os.WriteFile(name+"2", other, 0o600))
			require.NoError(t, os.Rename(name+"2", name))
		},
		"other bytes":         func() { require.NoError(t, os.WriteFile(name, other, 0o600)) },
		"a copy for no one":   func() { require.NoError(t, os.WriteFile(name, []byte("age-encryption.org/v1\n"), 0o600)) },
		"more without an end": func() { require.NoError(t, os.Truncate(name, 1<<40)) },
	} {
		whole := 0
		for at := range 8 {
			require.NoError(t, os.RemoveAll(name))
			require.NoError(t, os.WriteFile(name, honest, 0o600))
			calls := 0
			ctx := hook{t.Context(), func() {
				if calls == at {
					change()
				}
				calls++
			}}
			into := filepath.Join(t.TempDir(), "new")
			r, err := Restore(ctx, w.Dir, []age.Identity{w.key}, w.PublicKey(), into)
			require.NoError(t, err, how)
			require.NoDirExists(t, filepath.Join(into, scratch), how)
			rows := filepath.Join(into, "backups", "a", "data", "rows")
			if len(r.Damaged) > 0 {
				require.ErrorIs(t, r.Damaged[0], ErrDamaged, how)
				require.NoDirExists(t, filepath.Join(into, "backups", "a"), how)
				continue
			}
			whole++
			text, err := os.ReadFile(rows)
			require.NoError(t, err)
			require.Equal(t, "Иванов И. И., 1950", string(text), "%s, at %d", how, at)
		}
		require.Positive(t, whole, "%s: after the last read it is too late", how)
	}
}

// A pipe or a link in the place of a copy, or of the list, is reported, and keeps nothing waiting.
func TestPipesInThePlaceKeepNothingWaiting(t *testing.T) {
	w := newWorld(t)
	w.putAll(t)
	known, err := w.Known()
	require.NoError(t, err)
	for _, name := range []string{known.Copies[0].File, ContentsFile, signatureFile} {
		for how, put := range map[string]func(path string) error{
			"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"device": func(path string) error { return os.Symlink("/dev/zero", path) },
		} {
			path := filepath.Join(w.Dir, name)
			require.NoError(t, os.Rename(path, path+".away"))
			require.NoError(t, put(path))
			done := make(chan bool, 1)
			into := filepath.Join(t.TempDir(), "new")
			go func() {
				_ = w.Ready()
				_, errs := w.Verify(t.Context())
				r, err := Restore(t.Context(), w.Dir, []age.Identity{w.key}, w.PublicKey(), into)
				done <- len(errs) > 0 && (err != nil || len(r.Damaged) == 1) && w.Republish() == nil
			}()
			select {
			case found := <-done:
				require.True(t, found, "%s %s", how, name)
			case <-time.After(time.Minute):
				require.Fail(t, "it waits", "%s %s", how, name)
			}
			require.NoError(t, os.Rename(path+".away", path))
			_, err = w.Missing(w.sources)
			require.NoError(t, err)
			require.NoError(t, w.publish(known))
			_, errs := w.Verify(t.Context())
			require.Empty(t, errs)
		}
	}
}
