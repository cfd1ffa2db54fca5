package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"

	"github.com/aspupdate/aspupdate/internal/process"
)

func TestRunReportsTheOutcome(t *testing.T) {
	codes := Codes{7: {Status: Busy, Meaning: "busy", Next: "later"}, 8: {Status: RebootNeeded, Meaning: "nearly", Next: "restart"}, 9: {Status: Canceled, Meaning: "no", Next: "again"}}
	for _, c := range []struct {
		exit string
		want Status
		code uint32
	}{
		{"exit=0", OK, 0}, {"exit=1", Failed, 1}, {"exit=255", Failed, 255},
		{"exit=7", Busy, 7}, {"exit=8", RebootNeeded, 8}, {"exit=9", Canceled, 9},
	} {
		t.Run(c.exit, func(t *testing.T) {
			r, events := newRunner(t)
			r.busyInterval = -1
			cmd := fake(t, "print=working", "complain=a warning", c.exit)
			cmd.Codes = codes
			out, err := r.Run(t.Context(), cmd)
			require.Equal(t, c.want, out.Status)
			require.Equal(t, c.code, out.Code)
			require.Equal(t, "working\na warning\n", strings.ReplaceAll(out.Tail, "\r", ""))
			require.NotEmpty(t, out.Meaning)
			require.Positive(t, out.duration)
			if c.want == OK || c.want == RebootNeeded {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrFailed)
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, &Error{Op: "run", Subject: cmd.Path, Err: e.Err, Next: out.Next, logs: " (log: " + out.Log + ")"}, e)
				require.NotEmpty(t, e.Next)
				require.ErrorContains(t, err, out.Log)
			}
			logged, err := os.ReadFile(out.Log)
			require.NoError(t, err)
			require.Contains(t, string(logged), "a warning")
			var kinds []EventKind
			for _, e := range *events {
				kinds = append(kinds, e.Kind)
				require.NotEmpty(t, e.Text)
				require.False(t, e.Time.IsZero())
			}
			require.Equal(t, []EventKind{eventVerified, eventStarted, eventEnded}, kinds)
			requireClean(t, r)
		})
	}
}

func TestRunsOnlyWhatHasTheExpectedHash(t *testing.T) {
	r, events := newRunner(t)
	mark := filepath.Join(t.TempDir(), "ran")
	cmd := fake(t, "touch="+mark)
	cmd.SHA256 = strings.Repeat("0", 64)
	out, err := r.Run(t.Context(), cmd)
	require.ErrorIs(t, err, ErrMismatch)
	require.ErrorContains(t, err, "nothing was started")
	require.Equal(t, Outcome{}, out)
	require.NoFileExists(t, mark)
	require.Empty(t, *events)
	requireClean(t, r)
}

func TestWhatIsCanceledBeforeItsStartIsNotStarted(t *testing.T) {
	why := errors.New("the operator said so")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var seen []EventKind
	r, _ := newRunner(t)
	r.Observe = func(e Event) {
		seen = append(seen, e.Kind)
		cancel(why)
	}
	out, err := r.Run(ctx, fake(t, "exit=0"))
	require.ErrorIs(t, err, why)
	require.ErrorContains(t, err, "nothing was started")
	require.Equal(t, Outcome{}, out)
	require.Equal(t, []EventKind{eventVerified}, seen)
	requireClean(t, r)
}

func TestReplacingTheFileAfterHashingHasNoEffect(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	original := filepath.Join(dir, "Установка 7.exe")
	cmd := fake(t, "touch="+mark, "exit=5")
	b, err := os.ReadFile(cmd.Path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(original, b, 0o600)) // the archive's files need not be executable
	cmd.Path = original
	r, _ := newRunner(t)
	r.Observe = func(e Event) {
		if e.Kind == eventVerified {
			require.NoError(t, os.WriteFile(original, []byte("something else"), 0o600))
		}
	}
	out, err := r.Run(t.Context(), cmd)
	require.ErrorIs(t, err, ErrFailed)
	require.EqualValues(t, 5, out.Code)
	ran, err := os.ReadFile(mark)
	require.NoError(t, err)
	require.Equal(t, filepath.Base(original), filepath.Base(string(ran)), "name and extension stay")
	require.NotEqual(t, original, string(ran))
	requireClean(t, r)
}

func TestPrivateCopyIsPrivate(t *testing.T) {
	state := t.TempDir()
	src := filepath.Join(t.TempDir(), "setup.sh")
	require.NoError(t, os.WriteFile(src, []byte("#!/bin/sh\n"), 0o644))
	copied, err := privateCopy(t.Context(), state, process.NewRecord().ID, src, sumOf(t, src), "")
	require.NoError(t, err)
	require.Equal(t, "setup.sh", filepath.Base(copied))
	if runtime.GOOS != "windows" {
		fi, err := os.Stat(copied)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o500), fi.Mode().Perm())
		fi, err = os.Stat(filepath.Dir(copied))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), fi.Mode().Perm())
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = privateCopy(ctx, state, process.NewRecord().ID, src, sumOf(t, src), "")
	require.ErrorContains(t, err, "enough")
	left, err := os.ReadDir(state)
	require.NoError(t, err)
	require.Len(t, left, 1, "a copy that failed is gone")
}

func TestScriptsAndLaunchers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the scripts of this test are for a Unix shell")
	}
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		launcher   []string
		want       string
	}{
		{"direct.sh", "#!/bin/sh\necho \"direct $1\"\n", nil, "direct A B\n"},
		{"opened.run", "echo \"opened $1\"\n", []string{"sh", "-e"}, "opened A B\n"},
	} {
		path := filepath.Join(dir, c.name)
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
		r, _ := newRunner(t)
		out, err := r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path), Launcher: c.launcher, Args: []string{"A B"}})
		require.NoError(t, err)
		require.Equal(t, c.want, out.Tail)
	}
	path := filepath.Join(dir, "data.bin")
	require.NoError(t, os.WriteFile(path, []byte("not a program"), 0o600))
	r, _ := newRunner(t)
	out, err := r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path)})
	require.ErrorContains(t, err, "the kind is stated as plain: unknown kind of installer")
	require.Equal(t, notRun, out.Status)
	requireClean(t, r)
}

func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	sum := sumOf(t, file)
	for _, c := range []struct {
		name  string
		state string
		cmd   Command
		want  string
	}{
		{"no path", dir, Command{SHA256: sum}, "set Path"},
		{"no hash", dir, Command{Path: file}, "SHA-256 is missing"},
		{"short hash", dir, Command{Path: file, SHA256: sum[:62]}, "64 hex digits"},
		{"negative deadline", dir, Command{Path: file, SHA256: sum, Deadline: -1}, "negative"},
		{"unknown kind", dir, Command{Path: file, SHA256: sum, Kind: "wise"}, "use one of apt auto burn"},
		{"no state", "", Command{Path: file, SHA256: sum}, "set State"},
		{"state is a file", file, Command{Path: file, SHA256: sum}, "a file of this name exists"},
		{"missing", dir, Command{Path: filepath.Join(dir, "x"), SHA256: sum}, "x"},
		{"directory", dir, Command{Path: dir, SHA256: sum}, "not a regular file"},
		{"no directory for the log", dir, Command{Path: file, SHA256: sum, Log: filepath.Join(dir, "no", "log")}, "no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := (&Runner{State: c.state}).Run(t.Context(), c.cmd)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, notRun, out.Status)
			require.NoFileExists(t, filepath.Join(dir, recordName))
		})
	}
	if runtime.GOOS != "windows" {
		open := filepath.Join(realtest.SharedDir(t), "open")
		require.NoError(t, os.Mkdir(open, 0o700))
		require.NoError(t, os.Chmod(open, 0o777))
		_, err := (&Runner{State: open}).Run(t.Context(), Command{Path: file, SHA256: sum})
		require.ErrorContains(t, err, "the mode of "+open+" is 0777")
	}
	if runtime.GOOS != "windows" && os.Geteuid() == 0 {
		theirs := filepath.Join(dir, "theirs")
		require.NoError(t, os.Mkdir(theirs, 0o700))
		require.NoError(t, os.Chown(theirs, 65534, 65534))
		_, err := (&Runner{State: theirs}).Run(t.Context(), Command{Path: file, SHA256: sum})
		require.ErrorContains(t, err, theirs+" belongs to nobody")
	}
}

func TestInstallerGetsOnlyItsOwnEnvironment(t *testing.T) {
	t.Setenv("ASPUPDATE_FTP_PASSWORD", "hunter2")
	t.Setenv("ASPUPDATE_RUN", "an outer run")
	r, _ := newRunner(t)
	cmd := fake(t, "env", "stdin", "pwd")
	out, err := r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.NotContains(t, out.Tail, "hunter2")
	require.NotContains(t, out.Tail, "an outer run")
	require.Contains(t, out.Tail, "stdin 0 EOF")
	require.Contains(t, out.Tail, privatePrefix, "the working directory is the private one")
	require.Regexp(t, `(?m)^(TMPDIR|TEMP)=.*`+tempPrefix, out.Tail)
	requireClean(t, r)

	cmd.Dir = t.TempDir()
	cmd.Log = filepath.Join(t.TempDir(), "setup.log")
	require.NoError(t, os.WriteFile(cmd.Log, []byte("before\n"), 0o600))
	cmd.Args = []string{"pwd"}
	out, err = r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.Contains(t, out.Tail, filepath.Base(cmd.Dir))
	require.NotContains(t, out.Tail, "before", "the tail is this run's")
	require.Equal(t, cmd.Log, out.Log)
	b, err := os.ReadFile(cmd.Log)
	require.NoError(t, err)
	require.Equal(t, "before\n"+out.Tail, strings.ReplaceAll(string(b), "\r", ""))
}

func TestSecretsStayOutOfErrorsRecordsAndEvents(t *testing.T) {
	const secret = "hunter2-secret"
	var seen strings.Builder
	r, _ := newRunner(t)
	r.Observe = func(e Event) {
		fmt.Fprintf(&seen, "%+v\n", e)
		if e.Kind == eventStarted {
			b, err := os.ReadFile(filepath.Join(r.State, recordName))
			require.NoError(t, err)
			require.Contains(t, string(b), `"pid"`)
			if fi, err := os.Stat(filepath.Join(r.State, recordName)); runtime.GOOS != "windows" {
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), fi.Mode().Perm())
			}
			seen.Write(b)
		}
	}
	cmd := fake(t, "exit=3", secret)
	cmd.Env = append(cmd.Env, "DB_PASSWORD="+secret)
	out, err := r.Run(t.Context(), cmd)
	require.Error(t, err)
	fmt.Fprintf(&seen, "%v\n%+v\n%+v\n", err, err, out)
	require.NotContains(t, seen.String(), secret)
}

func TestTailIsBoundedAndTheLogWhole(t *testing.T) {
	r, _ := newRunner(t)
	out, err := r.Run(t.Context(), fake(t, "flood=1000", "print=\x1b[31mконец"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(out.Tail), tailLimit)
	require.True(t, strings.HasSuffix(strings.ReplaceAll(out.Tail, "\r", ""), "\n[31mконец\n"), "nothing that steers a terminal")
	fi, err := os.Stat(out.Log)
	require.NoError(t, err)
	require.Greater(t, fi.Size(), int64(100_000))
}

func TestOneRunAtATime(t *testing.T) {
	r, _ := newRunner(t)
	inner := make(chan error, 1)
	r.Observe = func(e Event) {
		if e.Kind == eventStarted {
			_, err := (&Runner{State: r.State}).Run(context.Background(), fake(t))
			_, serr := (&Runner{State: r.State}).Settle(context.Background())
			inner <- errors.Join(err, serr)
			require.ErrorIs(t, serr, ErrUnsettled)
		}
	}
	_, err := r.Run(t.Context(), fake(t))
	require.NoError(t, err)
	require.ErrorIs(t, <-inner, ErrUnsettled)
}

func TestDurationUsesTheRunnersClock(t *testing.T) {
	now := time.Date(2026, 1, 12, 10, 0, 0, 0, time.FixedZone("MSK", 3*3600))
	r, _ := newRunner(t)
	r.now = func() time.Time { now = now.Add(time.Minute); return now }
	out, err := r.Run(t.Context(), fake(t))
	require.NoError(t, err)
	require.Equal(t, time.UTC, out.started.Location())
	require.Equal(t, 7, out.started.Hour())
	require.Zero(t, out.duration%time.Minute)
}
