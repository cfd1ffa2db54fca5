package service_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/rollback"
)

// The roles that a service plays in an update.
var (
	_ rollback.Fence       = service.Service{}
	_ rollback.Application = service.Service{}
	_ rollback.Fence       = service.Group{}
	_ rollback.Application = service.Group{}
	_ install.Probe        = service.Probe{}
)

// The web server is the fence: nobody gets in while it is stopped. Behind it
// are the application's worker and, started before it, its server.
func Example() {
	const dir = "/var/lib/aspupdate/services"
	update := rollback.Update{
		Fence: service.Service{Name: "nginx", Dir: dir, DrainLimit: time.Minute, Drain: func(ctx context.Context) error {
			return nil // announce it here, and wait until people have finished or ctx ends
		}},
		App: service.Group{{Name: "asp-worker", Dir: dir}, {Name: "asp", Dir: dir}},
	}
	fmt.Printf("%T %T\n", update.Fence, update.App)
	// Output: service.Service service.Group
}

// A version counts only while the service runs.
func ExampleProbe() {
	var probe install.Probe = service.Probe{Service: "asp", Then: install.HTTPProbe{URL: "http://127.0.0.1:8080/maintenance/version"}}
	_, err := probe.Version(context.Background())
	fmt.Println(err != nil)
	// Output: true
}
