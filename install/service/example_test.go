package service_test

import (
	"context"
	"errors"
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
		Fence: &service.Service{Name: "nginx", Dir: dir, Drain: func(ctx context.Context) error {
			return nil // announce it here, and wait until people have finished or ctx ends
		}},
		App: service.Group{{Name: "asp-worker", Dir: dir}, {Name: "asp", Dir: dir}},
	}
	fmt.Printf("%T %T\n", update.Fence, update.App)
	// Output: *service.Service service.Group
}

// The errors name what to do next.
func ExampleService_Close() {
	asp := service.Service{Name: "asp", Dir: "/var/lib/aspupdate/services", Timeout: 10 * time.Minute}
	ctx := context.Background()
	err := asp.Close(ctx)
	switch {
	case errors.Is(err, service.ErrDependents):
		fmt.Println("close those as well, in a Group:", err)
	case errors.Is(err, service.ErrNotStopped):
		fmt.Println("its processes may still write:", err)
	}
	// Update the application here.
	if err := asp.Open(ctx); errors.Is(err, service.ErrNotRunning) {
		fmt.Println("the new version does not run:", err)
	}
	if e, ok := errors.AsType[*service.Error](err); ok {
		fmt.Println(e.Op, e.Subject, e.Err, e.Next)
	}
	st, err := service.Query(ctx, asp.Name)
	fmt.Println(st.Running, err)
}
