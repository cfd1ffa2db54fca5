package service_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/rollback"
)

// The roles that a service plays in an update.
var (
	_ rollback.Fence       = (*service.Service)(nil)
	_ rollback.Application = (*service.Service)(nil)
	_ rollback.Fence       = service.Group{}
	_ rollback.Application = service.Group{}
)

// The web server is the fence: users are closed out while it is stopped. Behind it
// are the application's worker and, started before it, its server.
func Example() {
	const dir = "/var/lib/aspupdate/services"
	update := rollback.Update{
		Fence: &service.Service{Name: "nginx", Dir: dir, DrainTimeout: time.Minute, Drain: func(ctx context.Context) error {
			return nil // announce it here, and wait until people have finished or ctx ends
		}},
		App: service.Group{{Name: "asp-worker", Dir: dir}, {Name: "asp", Dir: dir}},
	}
	fmt.Printf("%T %T\n", update.Fence, update.App)
	// Output: *service.Service service.Group
}
