package copies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A world is a place with two copies, and a source.
type world struct {
	*Place
	key     *age.X25519Identity
	keyFile string
	sources []Source
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	w := &world{key: key, keyFile: filepath.Join(dir, "key.txt")}
	require.NoError(t, os.WriteFile(w.keyFile, []byte(key.String()+"\n"), 0o600))
	to, err := ParseRecipients([]string{key.Recipient().String()})
	require.NoError(t, err)
	w.Place = &Place{Dir: filepath.Join(dir, "place"), Recipients: to, State: filepath.Join(dir, "state")}
	require.NoError(t, os.Mkdir(w.Dir, 0o700))
	require.NoError(t, os.Mkdir(w.State, 0o700))
	for i, text := range []string{"Иванов И. И., 1950", strings.Repeat("Петров П. П., 1951\n", 10_000)} {
		from := filepath.Join(dir, "from", string(rune('a'+i)))
		require.NoError(t, os.MkdirAll(filepath.Join(from, "data"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(from, "data", "rows"), []byte(text), 0o600))
		to := "backups/" + string(rune('a'+i))
		w.sources = append(w.sources, Source{
			Copy:  Copy{Kind: "snapshot", Name: "asp", ID: string(rune('a' + i)), Of: time.Date(2026, 1, 12+i, 0, 0, 0, 0, time.UTC), Path: to},
			Files: map[string]string{to: from},
		})
	}
	return w
}

func (w *world) putAll(t *testing.T) {
	t.Helper()
	require.NoError(t, w.Ready())
	missing, err := w.Missing(w.sources)
	require.NoError(t, err)
	for _, s := range missing {
		_, err := w.Put(t.Context(), s)
		require.NoError(t, err)
	}
	missing, err = w.Missing(w.sources)
	require.NoError(t, err)
	require.Empty(t, missing)
}

func (w *world) files(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(w.Dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (w *world) restore(t *testing.T, signer string) (Restored, string, error) {
	t.Helper()
	into := filepath.Join(t.TempDir(), "new")
	keys, err := ReadIdentities(w.keyFile)
	require.NoError(t, err)
	r, err := Restore(t.Context(), w.Dir, keys, signer, into)
	return r, into, err
}

// What is copied is encrypted, and comes back with the key.
func TestCopiesComeBackWithTheKeyAlone(t *testing.T) {
	w := newWorld(t)
	w.putAll(t)
	n, errs := w.Verify(t.Context())
	require.Empty(t, errs)
	require.Equal(t, 2, n)
	for _, name := range w.files(t) {
		data, err := os.ReadFile(filepath.Join(w.Dir, name))
		require.NoError(t, err)
		require.NotContains(t, string(data), "Иванов")
		require.NotContains(t, string(data), "rows")
	}
	r, into, err := w.restore(t, w.PublicKey())
	require.NoError(t, err)
	require.True(t, r.Signed)
	require.Empty(t, r.Damaged)
	require.Len(t, r.Copies, 2)
	got, err := os.ReadFile(filepath.Join(into, "backups", "a", "data", "rows"))
	require.NoError(t, err)
	require.Equal(t, "Иванов И. И., 1950", string(got))

	// Another key, and another machine's signature.
	other, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	_, err = Restore(t.Context(), w.Dir, []age.Identity{other}, w.PublicKey(), filepath.Join(t.TempDir(), "new"))
	require.ErrorIs(t, err, ErrKey)
	require.ErrorContains(t, err, "encrypted for other keys")
	_, _, err = w.restore(t, newWorldKey(t))
	require.ErrorIs(t, err, ErrKey)
	_, _, err = w.restore(t, "nonsense")
	require.ErrorIs(t, err, ErrKey)
	require.NoError(t, os.WriteFile(w.keyFile, []byte("nonsense"), 0o600))
	_, err = ReadIdentities(w.keyFile)
	require.ErrorContains(t, err, "AGE-SECRET-KEY-")
	require.NotContains(t, err.Error(), "nonsense")
	_, err = ParseRecipients([]string{other.String()})
	require.ErrorContains(t, err, "does not belong on this machine")
	require.NotContains(t, err.Error(), other.String())
}

func newWorldKey(t *testing.T) string {
	p := &Place{State: t.TempDir()}
	_, err := p.key()
	require.NoError(t, err)
	return p.PublicKey()
}

// People open a copy without this program.
func TestCopiesAreOpenedByAgeAndTar(t *testing.T) {
	program := realtest.Program(t, "age")
	w := newWorld(t)
	w.putAll(t)
	known, err := w.Known()
	require.NoError(t, err)
	dir := t.TempDir()
	cmd := exec.Command("/bin/sh", "-c", `"$0" --decrypt --identity "$1" "$2" | tar -x`, program, w.keyFile, filepath.Join(w.Dir, known.Copies[0].File))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.FileExists(t, filepath.Join(dir, "backups", "a", "data", "rows"))
}

// Every flip and every cut of a copy is found, by who has the list and by who has only
// the secret key; the others come back.
func TestFlipsAndCutsAreFound(t *testing.T) {
	w := newWorld(t)
	w.putAll(t)
	known, err := w.Known()
	require.NoError(t, err)
	bad := filepath.Join(w.Dir, known.Copies[0].File)
	whole, err := os.ReadFile(bad)
	require.NoError(t, err)
	spoil := func(name string, data []byte) {
		require.NoError(t, os.WriteFile(bad, data, 0o600))
		_, errs := w.Verify(t.Context())
		require.Len(t, errs, 1, name)
		require.ErrorIs(t, errs[0], ErrDamaged, name)
		// Without the list: the format itself finds it.
		c := known.Copies[0]
		c.SHA256, c.Bytes = hashOf(data), int64(len(data))
		root, err := os.OpenRoot(t.TempDir())
		require.NoError(t, err)
		defer func() { _ = root.Close() }()
		place, err := os.OpenRoot(w.Dir)
		require.NoError(t, err)
		defer func() { _ = place.Close() }()
		err = restoreOne(t.Context(), place, c, []age.Identity{w.key}, root)
		require.Error(t, err, name)
		require.True(t, errors.Is(err, ErrDamaged) || errors.Is(err, ErrKey), "%s: %v", name, err)
	}
	for i := 0; i < len(whole); i += 1 + len(whole)/150 {
		flipped := append([]byte{}, whole...)
		flipped[i] ^= 1 << (i % 8)
		spoil("flip", flipped)
	}
	for n := 0; n < len(whole); n += 1 + len(whole)/50 {
		spoil("cut", whole[:n])
	}
	spoil("longer", append(append([]byte{}, whole...), 0))
	r, into, err := w.restore(t, w.PublicKey())
	require.NoError(t, err)
	require.Len(t, r.Damaged, 1)
	require.Len(t, r.Copies, 1)
	require.NoFileExists(t, filepath.Join(into, "backups", "a", "data", "rows"))
	require.FileExists(t, filepath.Join(into, "backups", "b", "data", "rows"))

	// Gone, and made again.
	require.NoError(t, os.Remove(bad))
	_, errs := w.Verify(t.Context())
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "is missing")
	w.putAll(t)
	_, errs = w.Verify(t.Context())
	require.Empty(t, errs)
}

// Who can write to the place can destroy, never inject: age itself does not say who encrypted.
func TestWhoWritesThePlaceCannotInject(t *testing.T) {
	w := newWorld(t)
	w.putAll(t)
	forged := &Place{Dir: w.Dir, Recipients: w.Recipients, State: t.TempDir()}
	require.ErrorContains(t, forged.Ready(), "give a directory of its own", "two machines do not share one by mistake")
	_, err := forged.Put(t.Context(), w.sources[1]) // with a list of its own
	require.NoError(t, err)
	_, _, err = w.restore(t, w.PublicKey())
	require.ErrorIs(t, err, ErrKey)
	require.ErrorContains(t, err, "another machine has signed it")
	_, errs := w.Verify(t.Context())
	require.NotEmpty(t, errs)
	require.NoError(t, w.Republish())
	_, err = os.Stat(filepath.Join(w.Dir, ContentsFile))
	require.NoError(t, err)

	// A list that leads out of the new directory.
	for _, name := range []string{"../x.tar.age", "a/b", `a\b`} {
		c, err := w.Known()
		require.NoError(t, err)
		c.Copies[0].File = name
		require.NoError(t, w.publish(c))
		_, _, err = w.restore(t, w.PublicKey())
		require.ErrorIs(t, err, ErrDamaged, name)
	}
}

// The second place is away, or is another one: that is reported at once. A copy that was
// interrupted is done again.
func TestPlaceAwayOrWrong(t *testing.T) {
	w := newWorld(t)
	w.putAll(t)
	require.NoError(t, os.Rename(w.Dir, w.Dir+".away"))
	require.ErrorIs(t, w.Ready(), ErrPlace)
	require.NoError(t, os.Mkdir(w.Dir, 0o700)) // the mount point, with nothing mounted
	err := w.Ready()
	require.ErrorIs(t, err, ErrPlace)
	require.ErrorContains(t, err, "mount the right disk or share")
	require.NoError(t, os.Remove(w.Dir))
	require.NoError(t, os.Rename(w.Dir+".away", w.Dir))
	require.NoError(t, w.Ready())

	// An interrupted copy is done again.
	w.sources = append(w.sources, w.sources[0])
	w.sources[2].ID = "c"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Put(ctx, w.sources[2])
	require.ErrorIs(t, err, context.Canceled)
	half := filepath.Join(w.Dir, tempPrefix+"snapshot-x.tar.age")
	require.NoError(t, os.WriteFile(half, []byte("killed"), 0o600))
	w.putAll(t)
	require.NoFileExists(t, half)
	require.Len(t, w.files(t), 3+3)
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Old copies go, and none that is needed.
func TestPruneKeepsTheNewestAndTheNeeded(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		s := w.sources[0]
		s.ID, s.Of = string(rune('c'+i)), s.Of.AddDate(0, 0, i)
		w.sources = append(w.sources, s)
	}
	w.putAll(t)
	require.NoError(t, os.WriteFile(filepath.Join(w.Dir, "theirs"), nil, 0o600))
	gone, err := w.Prune(2, func(c Copy) bool { return c.ID == "a" })
	require.NoError(t, err)
	require.Len(t, gone, 3)
	known, err := w.Known()
	require.NoError(t, err)
	var ids []string
	for _, c := range known.Copies {
		ids = append(ids, c.ID)
		require.FileExists(t, filepath.Join(w.Dir, c.File))
	}
	require.Equal(t, []string{"a", "e", "f"}, ids)
	for _, c := range gone {
		require.NoFileExists(t, filepath.Join(w.Dir, c.File))
	}
	require.FileExists(t, filepath.Join(w.Dir, "theirs"))
	_, errs := w.Verify(t.Context())
	require.Empty(t, errs)
}
