package install

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// The folder that programs run from is closed to other users, whatever the
// folder above lets them do.
func TestPrivateFolderIsClosedToOthers(t *testing.T) {
	others := regexp.MustCompile(`\(A;[^)]*;(WD|BU|AU|IU|S-1-1-0|S-1-5-32-545|S-1-5-11)\)`)
	granted := func(path string) string {
		sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
		require.NoError(t, err)
		t.Log(path, sd.String())
		return sd.String()
	}
	open := filepath.Join(t.TempDir(), "open")
	sd, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(open, 0o700))
	dacl, _, err := sd.DACL()
	require.NoError(t, err)
	require.NoError(t, windows.SetNamedSecurityInfo(open, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil))
	require.Regexp(t, others, granted(open))

	private := filepath.Join(open, "private")
	require.NoError(t, mkdirPrivate(private))
	require.NotRegexp(t, others, granted(private))
	// That files get the same from their folder is Windows' work, and nothing of Wine's.
	require.ErrorIs(t, mkdirPrivate(private), os.ErrExist)
}

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
