package rollback_test

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// stoppedApp reports that it is stopped, whatever its parts report.
type stoppedApp struct{ rollback.Application }

func (stoppedApp) Closed(context.Context) (bool, error) { return true, nil }

// TestAStartThatFailsIsNoSuccessBecauseAProbeKnowsLess fails the application's
// start while every part is healthy: a probe may read a file that says nothing
// about whether the application runs.
func TestAStartThatFailsIsNoSuccessBecauseAProbeKnowsLess(t *testing.T) {
	t.Run("it reports that it is stopped", func(t *testing.T) {
		w := newWorld(t, "ASP")
		u := w.update()
		u.App = stoppedApp{u.App}
		failed := false
		w.fault = func(call string) error {
			if call == "app.start" && !failed {
				failed = true
				return errors.New("port 80 is in use")
			}
			return nil
		}
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		res, err := u.Run(t.Context(), plan)
		require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
	})
	t.Run("its command was killed", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("Windows has no signals")
		}
		w := newWorld(t, "ASP")
		failed := false
		w.fault = func(call string) error {
			if call == "app.start" && !failed {
				failed = true
				return exec.Command("/bin/sh", "-c", "kill $$").Run()
			}
			return nil
		}
		res, err := w.run(t)
		require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
	})
}
