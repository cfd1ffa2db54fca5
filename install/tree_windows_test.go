package install

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bornEarlier is the birth of a process that had the number before.
func bornEarlier(int) string { return "1" }

// A process that dies between writing the number of its installer down and
// letting it run leaves one that would be waited for in vain.
func TestInstallerThatWasNeverReleasedIsEnded(t *testing.T) {
	for _, numbered := range []bool{false, true} {
		r := Runner{State: t.TempDir()}
		rec := record{Format: recordFormat, ID: newID(), Path: "setup.exe", Started: time.Now(), Deadline: time.Hour}
		exe, err := os.Executable()
		require.NoError(t, err)
		suspended, err := launch(t.Context(), program{argv: []string{exe, "-test.run=^$"}, dir: r.State, env: os.Environ(), id: rec.ID})
		require.NoError(t, err)
		defer suspended.close()
		if numbered {
			rec.PID, rec.Birth = suspended.pid(), suspended.birth()
		}
		require.NoError(t, r.writeRecord(rec))
		s, err := r.Settle(t.Context())
		require.NoError(t, err)
		require.Equal(t, Gone, s.Found)
		<-suspended.exited()
	}
}

// One that runs is only looked at.
func TestInstallerThatRunsIsNotTakenForUnreleased(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	running, err := launch(t.Context(), program{argv: []string{exe, "-test.run=^$"}, dir: t.TempDir(), env: os.Environ(), id: newID()})
	require.NoError(t, err)
	defer running.close()
	require.True(t, running.unreleased())
	require.NoError(t, running.release())
	<-running.exited()
	_, _, ok := running.result()
	require.True(t, ok)
	require.False(t, running.unreleased())
}
