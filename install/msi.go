package install

import (
	"context"
	"errors"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// serviceTimeout bounds the wait for the service of Windows Installer once the
// installer that requested its work has ended: it rolls its changes back, which
// takes about as long as making them did.
const serviceTimeout = 10 * time.Minute

// errService means that the service has not finished. The record of the run
// stays, so that nothing is started beside it.
var errService = errors.New("the service of Windows Installer is still running an installation")

const nextService = "wait until no installation is in progress on this machine, then call Settle"

// awaitService waits for the service after a run that was ended early; the
// context of the run has ended then.
func awaitService(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(timeout, serviceTimeout))
	defer cancel()
	cause, err := process.Poll(ctx, serviceBusy)
	if cause != nil {
		return errService
	}
	return err
}
