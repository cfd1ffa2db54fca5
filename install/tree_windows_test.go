package install

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

// A process that dies between recording its installer and releasing it leaves a
// suspended one, which would be waited for in vain.
func TestSuspendedInstallerIsEnded(t *testing.T) {
	for _, numbered := range []bool{false, true} {
		r := Runner{State: t.TempDir()}
		rec := record{Record: process.NewRecord(), Format: recordFormat, Path: "setup.exe", Started: time.Now(), Deadline: time.Hour}
		exe, err := os.Executable()
		require.NoError(t, err)
		calls := 0
		suspended, err := process.Start(exec.Command(exe, "-test.run=^$"), rec.Record, func(p process.Record) error {
			if calls++; calls == 1 {
				return nil
			}
			require.NotZero(t, p.PID)
			if numbered {
				rec.Record = p
			}
			require.NoError(t, r.writeRecord(rec))
			s, err := r.Settle(t.Context()) // as after a crash at this moment
			require.NoError(t, err)
			require.Equal(t, foundGone, s.Found)
			return nil
		})
		require.NoError(t, err)
		defer suspended.Close()
		<-suspended.Exited()
	}
}
