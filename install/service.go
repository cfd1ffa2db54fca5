package install

import (
	"context"
	"errors"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// serviceLimit is how long the installer service may take to come to an end
// once the installer that asked for its work is gone: it takes its changes
// back, which is about as much work as making them was.
const serviceLimit = 10 * time.Minute

// errService means that the installer service has not come to an end. The
// record of the run stays, so that nothing is started beside it.
var errService = errors.New("the service of Windows Installer is still at work")

const nextService = "wait until no installation is in progress on this machine, then call Settle"

// awaitService waits for the service after a run that was cut short. That ctx
// has ended is why it is called.
func awaitService(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(limit, serviceLimit))
	defer cancel()
	cause, err := process.Poll(ctx, serviceBusy)
	if cause != nil {
		return errService
	}
	return err
}
