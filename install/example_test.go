package install_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/aspupdate/aspupdate/install"
)

// The application shows errors while its database is restructured, and
// answers with its version when it is done.
func ExampleAwait() {
	looks := 0
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if looks++; looks < 3 {
			http.Error(w, "please wait", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "7.13.100")
	}))
	defer app.Close()

	err := install.Await(context.Background(), install.HTTPProbe{URL: app.URL + "/version"}, "7.13.100", install.AwaitOptions{
		Every:   10 * time.Millisecond,
		Observe: func(e install.Event) { fmt.Println(e.Kind) },
	})
	fmt.Println(err)
	// Output:
	// restructuring
	// healthy
	// <nil>
}
