package units

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newTasks returns a Task Scheduler whose programs are stand-ins: schtasks keeps what it is given as
// Windows does, in UTF-16 and with a line of its own, and PowerShell prints what the test has written.
func newTasks(t *testing.T) (tasks *Tasks, said, calls string) {
	t.Helper()
	dir := t.TempDir()
	said, calls = filepath.Join(dir, "said"), filepath.Join(dir, "calls")
	require.NoError(t, os.WriteFile(said, nil, 0o600))
	script := func(name, text string) []string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return []string{"/bin/sh", path}
	}
	tasks = &Tasks{Dir: filepath.Join(dir, "Tasks"), Temp: dir}
	require.NoError(t, os.Mkdir(tasks.Dir, 0o700))
	tasks.Schtasks = script("schtasks", `echo "$*" | sed 's| /XML.*||' >> '`+calls+`'
cd '`+tasks.Dir+`'
case $1 in
/Create) [ "$(stat -c %a "$(dirname "$6")")" = 700 ] && iconv -f UTF-16 -t UTF-8 "$6" | sed 's|</RegistrationInfo>|<URI>\\\\x</URI>&|; s|UTF-16|utf-8|' | iconv -f UTF-8 -t UTF-16 > "$4" ;;
/Delete) rm "$4" ;;
/Change) [ $4 = /ENABLE ] || echo "$3;1;;;267011" >> '`+said+`' ;;
esac
`)
	tasks.PowerShell = script("powershell", "cd '"+tasks.Dir+"'; for f in *; do grep -m1 \"^$f;\" '"+said+"' || echo \"$f;3;;;267011\"; done\n")
	return tasks, said, calls
}

// The tasks of Windows with stand-ins for its programs: what is made, what is known of it, and
// what is left alone. It has not been run on Windows.
func TestTasksWithStandIns(t *testing.T) {
	tasks, said, calls := newTasks(t)
	m := Machine{Program: `C:\Program Files\АСП & Co\aspupdate.exe`, Config: `C:\ProgramData\ASP\aspupdate.toml`, WatchConfig: `C:\ProgramData\ASP-watch\watch.toml`, Account: "S-1-5-19"}
	updates := []Time{{Days: []time.Weekday{time.Monday, time.Saturday}, Hour: 10, Minute: 5}}
	units, err := tasks.Units(Jobs(Needs{Data: true, Watch: true, Updates: updates}), m)
	require.NoError(t, err)
	require.Len(t, units, 8)
	text := map[string]string{}
	for _, u := range units {
		text[u.Name] = u.Text
	}
	for _, part := range []string{
		"<Command>C:\\Program Files\\АСП &amp; Co\\aspupdate.exe</Command>", `<Arguments>update --config &#34;C:\ProgramData\ASP\aspupdate.toml&#34;</Arguments>`,
		"<StartBoundary>2026-01-01T10:05:00+03:00</StartBoundary>", "<Monday></Monday>", "<Saturday></Saturday>", "<UserId>S-1-5-18</UserId>", "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>",
	} {
		require.Contains(t, text["aspupdate-update"], part)
	}
	require.Contains(t, text["aspupdate-recover"], "<BootTrigger>")
	require.Contains(t, text["aspupdate-watch"], "<UserId>S-1-5-19</UserId>")
	require.NotContains(t, text["aspupdate-watch"], "HighestAvailable")
	for _, path := range []string{`C:\100%\a.exe`, `C:\"\a.exe`} {
		_, err := tasks.Units(Jobs(Needs{}), Machine{Program: path})
		require.ErrorContains(t, err, "invalid path")
	}

	ctx := t.Context()
	states := func() map[string]State {
		list, err := tasks.Status(ctx, units)
		require.NoError(t, err)
		all := map[string]State{}
		for _, s := range list {
			all[s.Name] = s
		}
		return all
	}
	require.Equal(t, "missing", states()["aspupdate-update"].State)
	done, err := tasks.Install(ctx, units, false)
	require.NoError(t, err)
	require.Len(t, done, 8)
	called, err := os.ReadFile(calls)
	require.NoError(t, err)
	require.Contains(t, string(called), "/Run /TN aspupdate-watch")
	require.NotContains(t, string(called), "/Run /TN aspupdate-update")
	done, err = tasks.Install(ctx, units, false)
	require.NoError(t, err)
	require.Empty(t, done, "repeated, it changes nothing")

	require.NoError(t, os.WriteFile(said, []byte("aspupdate-update;3;2026-11-30T07:05:00;2026-12-05T07:05:00;0\naspupdate-prove;3;2026-11-28T02:00:00;;6\n"+
		"aspupdate-recover;3;1999-11-30T00:00:00;;267011\nnoise\n"), 0o600))
	all := states()
	require.Equal(t, State{Name: "aspupdate-update", State: "installed", Enabled: true, Result: "success",
		Last: time.Date(2026, 11, 30, 7, 5, 0, 0, time.UTC), Next: time.Date(2026, 12, 5, 7, 5, 0, 0, time.UTC)}, all["aspupdate-update"])
	require.True(t, all["aspupdate-prove"].Failed())
	require.Equal(t, 6, all["aspupdate-prove"].Code)
	require.True(t, all["aspupdate-recover"].Last.IsZero(), "it never ran")
	require.Equal(t, "stopped", all["aspupdate-watch"].State)

	// Disabled by hand: that is shown, and repaired.
	require.NoError(t, os.WriteFile(said, []byte("aspupdate-update;1;;;267011\n"), 0o600))
	require.Equal(t, "disabled", states()["aspupdate-update"].State)
	done, err = tasks.Install(ctx, units, false)
	require.NoError(t, err)
	require.Equal(t, []State{{Name: "aspupdate-update", State: "installed"}}, done)
	require.NoError(t, os.WriteFile(said, nil, 0o600))

	// Changed by hand, of another configuration, and of somebody else.
	file := filepath.Join(tasks.Dir, "aspupdate-update")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(text["aspupdate-update"], "10:05", "11:05", 1)), 0o600))
	require.Equal(t, "changed", states()["aspupdate-update"].State)
	_, err = tasks.Install(ctx, units, false)
	require.ErrorIs(t, err, ErrChanged)
	_, err = tasks.Remove(ctx, false)
	require.ErrorIs(t, err, ErrChanged)
	done, err = tasks.Install(ctx, units, true)
	require.NoError(t, err)
	require.Equal(t, []State{{Name: "aspupdate-update", State: "installed"}}, done)
	less, err := tasks.Units(Jobs(Needs{Updates: updates}), m)
	require.NoError(t, err)
	done, err = tasks.Install(ctx, less, false)
	require.NoError(t, err)
	require.Len(t, done, 4, "what the configuration needs no more is removed")
	foreign := filepath.Join(tasks.Dir, "aspupdate-watch")
	require.NoError(t, os.WriteFile(foreign, []byte("<Task/>"), 0o600))
	_, err = tasks.Install(ctx, units, true)
	require.ErrorIs(t, err, ErrForeign)

	// None is removed while an update runs; what is foreign stays.
	require.NoError(t, os.WriteFile(said, []byte("aspupdate-update;4;2026-11-30T07:05:00;;267009\n"), 0o600))
	_, err = tasks.Remove(ctx, true)
	require.ErrorIs(t, err, ErrRunning)
	require.NoError(t, os.WriteFile(said, nil, 0o600))
	silent := *tasks
	silent.PowerShell = []string{"/bin/false"}
	_, err = silent.Remove(ctx, true)
	require.ErrorContains(t, err, "PowerShell does not say whether an update is running")
	called, err = os.ReadFile(calls)
	require.NoError(t, err)
	require.Equal(t, strings.Count(string(called), "/DISABLE"), strings.Count(string(called), "/ENABLE"), "what is not removed may start again")
	done, err = tasks.Remove(ctx, false)
	require.NoError(t, err)
	require.Contains(t, done, State{Name: "aspupdate-watch", State: "foreign"})
	called, err = os.ReadFile(calls)
	require.NoError(t, err)
	require.Contains(t, string(called), "/Change /TN aspupdate-update /DISABLE")
	require.NotContains(t, string(called), "/End /TN aspupdate-update")
	left, err := os.ReadDir(tasks.Dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}
