package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/backuptest"
	"github.com/aspupdate/aspupdate/backup/command"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// firebird is a world whose file is a Firebird database with people, blobs
// and a procedure.
type firebird struct {
	*world
	tools realtest.FirebirdSet
	query string // a script that prints all rows
}

func newFirebird(t *testing.T) *firebird {
	t.Helper()
	f := &firebird{world: newWorld(t), tools: realtest.Firebird(t)}
	f.live = filepath.Join(t.TempDir(), "опека.fdb")
	script := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	// Not the blobs as they are: isql prints their numbers as well, which are
	// others after a restore.
	f.query = script("describe.sql", "SET LIST ON;\nSELECT ID, NAME, AMOUNT, CAST(NOTE AS VARCHAR(100)) AS NOTE, HASH(PHOTO) AS PHOTO FROM CHILDREN ORDER BY ID;\nSELECT COUNT(*) FROM RDB$RELATIONS;\n")
	var make strings.Builder
	fmt.Fprintf(&make, "CREATE DATABASE '%s' PAGE_SIZE 4096 DEFAULT CHARACTER SET UTF8;\n", f.live)
	make.WriteString("CREATE TABLE CHILDREN (ID INT PRIMARY KEY, NAME VARCHAR(100), AMOUNT NUMERIC(12,2), NOTE BLOB SUB_TYPE TEXT, PHOTO BLOB);\nCREATE INDEX NAMES ON CHILDREN (NAME);\nCOMMIT;\n")
	for i := range 200 {
		fmt.Fprintf(&make, "INSERT INTO CHILDREN VALUES (%d, 'Иванова Мария № %d', %d.25, 'заметка %x', x'00ff%016x');\n", i, i*i, i, i*7919*104729, i*7919)
	}
	make.WriteString("COMMIT;\n")
	f.isql(t, "-i", script("make.sql", make.String()))

	env := append(os.Environ(), f.tools.Env...)
	cmd := func(argv ...string) command.Command {
		return command.Command{Argv: argv, Env: env, Timeout: time.Minute}
	}
	f.target = &command.Target{Live: f.live, Commands: command.Commands{
		Backup:   cmd(f.tools.Gbak, "-b", "-g", "{live}", "{file}"),
		Restore:  cmd(f.tools.Gbak, "-c", "{file}", "{new}"),
		Verify:   cmd(f.tools.Gbak, "-c", "{file}", "{new}"),
		Describe: cmd(f.tools.Isql, "-bail", "-q", "-ch", "UTF8", "-i", f.query, "{name}"),
		Version:  cmd(f.tools.Gbak, "-z"),
	}}
	f.target.Commands.Version.OK = []int{1} // it prints its version and then reports missing arguments
	return f
}

func (f *firebird) isql(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.tools.Isql, append([]string{"-bail", "-q", "-ch", "UTF8"}, args...)...)
	cmd.Env = append(os.Environ(), f.tools.Env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func (f *firebird) state(t *testing.T) string {
	t.Helper()
	return f.isql(t, "-i", f.query, f.live)
}

// change is an update: it alters rows and adds a table.
func (f *firebird) change(t *testing.T) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "update.sql")
	require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, `UPDATE CHILDREN SET NAME = 'Петров' WHERE MOD(ID, 2) = 0;
DELETE FROM CHILDREN WHERE ID = (SELECT MAX(ID) FROM CHILDREN);
COMMIT;
CREATE TABLE ADDED_%d (X INT);
COMMIT;
`, time.Now().UnixNano()), 0o600))
	f.isql(t, "-i", script, f.live)
}

func TestFirebirdIsATarget(t *testing.T) {
	t.Parallel()
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		f := newFirebird(t)
		return backuptest.Fixture{Target: f.target, Change: f.change, State: f.state}
	})
}

func TestFirebirdThereAndBack(t *testing.T) {
	t.Parallel()
	f := newFirebird(t)
	before := f.state(t)
	require.Contains(t, before, "Иванова Мария № 100")
	require.Contains(t, before, "заметка")
	snap := f.take(t)
	require.Contains(t, snap.Meta.Engine, "Firebird 3")
	f.change(t)
	require.NotEqual(t, before, f.state(t))
	r, err := f.store.Restore(t.Context(), snap.ID, f.target)
	require.NoError(t, err)
	require.Equal(t, before, f.state(t))
	require.NoError(t, r.Discard(t.Context()))
	require.Empty(t, f.beside(t))
}

// gbak asks for the next volume where a backup ends too early, and leaves a
// database with a part of the rows; and it restores many a flipped bit without
// a word. None of this comes under the live name: the store finds it first, and here
// the target is asked directly.
func TestR15FirebirdDamagedBackup(t *testing.T) {
	t.Parallel()
	f := newFirebird(t)
	snap := f.take(t)
	backedUp := f.state(t)
	dir, err := f.store.Path(snap.ID)
	require.NoError(t, err)
	whole, err := os.ReadFile(filepath.Join(dir, "backup"))
	require.NoError(t, err)
	f.change(t)
	changed, err := os.ReadFile(f.live)
	require.NoError(t, err)
	requireUntouched := func() {
		live, err := os.ReadFile(f.live)
		require.NoError(t, err)
		require.True(t, bytes.Equal(changed, live), "not a byte of the live database is another")
	}
	spoilt := t.TempDir()
	restore := func(data []byte) error {
		require.NoError(t, os.WriteFile(filepath.Join(spoilt, "backup"), data, 0o600))
		r, err := f.target.Restore(t.Context(), spoilt, snap.Meta)
		if err == nil {
			require.Equal(t, backedUp, f.state(t), "what is restored without an error is what was backed up")
			require.NoError(t, r.Undo(t.Context()))
		}
		if !errors.Is(err, backup.ErrMismatch) {
			require.Empty(t, f.beside(t))
		}
		requireUntouched()
		return err
	}
	for percent := 0; percent < 100; percent += 5 {
		err := restore(whole[:len(whole)*percent/100])
		e, ok := errors.AsType[*command.Failure](err)
		require.True(t, ok, "cut at %d %%: %v", percent, err)
		require.Equal(t, 1, e.Code)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "it does not wait for an answer")
		if percent > 0 {
			require.Contains(t, e.Output, "Press return to reopen that file", "it did ask")
			require.Contains(t, e.Output, "Backup incomplete")
		}
	}
	silent := 0
	for i := 0; i < len(whole); i += len(whole)/12 + 1 {
		flipped := append([]byte(nil), whole...)
		flipped[i] ^= 1
		if errors.Is(restore(flipped), backup.ErrMismatch) {
			silent++
			require.NoError(t, f.target.Tidy(t.Context())) // what differs is kept
		}
	}
	require.Positive(t, silent, "gbak restores other data and says 0: Describe finds it")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "backup"), whole[:len(whole)-1], 0o600))
	_, err = f.store.Restore(t.Context(), snap.ID, f.target)
	require.ErrorIs(t, err, backup.ErrDamaged)
	requireUntouched()
}

// A backup that gbak cut short, here by a disk that is full, is none.
func TestR9FirebirdCutShort(t *testing.T) {
	t.Parallel()
	f := newFirebird(t)
	f.target.Commands.Backup.Argv = []string{f.tools.Gbak, "-b", "{live}", fullDisk(t)}
	_, err := f.store.Take(t.Context(), "x", f.target)
	require.ErrorContains(t, err, "backup gbak")
	list, err := f.store.List()
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestFirebirdDeadline(t *testing.T) {
	t.Parallel()
	f := newFirebird(t)
	snap := f.take(t)
	f.change(t)
	changed := f.state(t)
	f.target.Commands.Restore.Timeout = time.Millisecond
	_, err := f.store.Restore(t.Context(), snap.ID, f.target)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, changed, f.state(t))
	require.Empty(t, f.beside(t))
}
