package install_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/aspupdate/aspupdate/install"
)

// The application shows errors while its database is restructured, and
// answers with its version when it is done.
func ExampleAwait() {
	queries := 0
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if queries++; queries < 3 {
			http.Error(w, "please wait", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "7.13.100")
	}))
	defer app.Close()

	err := install.Await(context.Background(), install.HTTPProbe{URL: app.URL + "/version"}, "7.13.100", install.AwaitOptions{
		Interval: 10 * time.Millisecond,
		Observe:  func(e install.Event) { fmt.Println(e.Kind) },
	})
	fmt.Println(err)
	// Output:
	// restructuring
	// healthy
	// <nil>
}

// The version stands in the middle of the login page, which answers with 401.
func ExampleHTTPProbe() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintln(w, "<h1>Опека</h1><p>Версия 7.13.100</p>")
	}))
	defer app.Close()

	fmt.Println(install.HTTPProbe{
		URL:    app.URL + "/login",
		Status: http.StatusUnauthorized,
		Text:   regexp.MustCompile(`Версия ([\d.]+)`),
	}.Version(context.Background()))
	// Output: 7.13.100 <nil>
}

// The port must answer before the version is asked for.
func ExampleTCPProbe() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	then := install.ProbeFunc(func(context.Context) (string, error) { return "7.13.100", nil })
	p := install.TCPProbe{Addr: l.Addr().String(), Then: then}
	fmt.Println(p.Version(context.Background()))
	_ = l.Close()
	_, err = p.Version(context.Background())
	fmt.Println(err != nil)
	// Output:
	// 7.13.100 <nil>
	// true
}

// The driver is the caller's, here pgx by its database/sql package.
func ExampleSQLProbe() {
	db, err := sql.Open("pgx", os.Getenv("ASP_MAINTENANCE_DATABASE"))
	if err != nil {
		fmt.Println("the connection string is not valid") // the error may quote it
		return
	}
	defer func() { _ = db.Close() }()
	db.SetMaxIdleConns(0)
	p := install.TCPProbe{Addr: "127.0.0.1:5432", Then: install.SQLProbe{DB: db, Query: "SELECT version FROM about"}}
	fmt.Println(install.Await(context.Background(), p, "7.13.100", install.AwaitOptions{}))
}

// The files are of the version, and people can log in.
func ExampleFileProbe() {
	p := install.HTTPProbe{
		URL:  "http://127.0.0.1:8080/",
		Text: regexp.MustCompile("Вход в систему"),
		Then: install.FileProbe{Path: `C:\ASP\asp.exe`, Key: "ProductVersion"},
	}
	fmt.Println(install.Await(context.Background(), p, "7.13.100", install.AwaitOptions{}))
}

// The first version of a year has requirements of its own (R14). All that is
// missing is reported at once, and a person confirms what no program can check.
func ExampleChecklist() {
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	confirmed := filepath.Join(dir, "confirmed")
	const read = "R14 2028: the requirements were read"
	list := install.Checklist{
		install.FreeSpace(dir, 1<<20),
		install.Confirmed(confirmed, read),
		{Name: "reports", Run: func(context.Context) error { return errors.New("the quarter's are not sent; send them") }},
	}
	list[2].Waived = "the ministry has put them off"

	waived, err := list.Run(context.Background())
	fmt.Println(waived)
	fmt.Println(err)
	if unmet, ok := errors.AsType[*install.Unmet](err); ok {
		fmt.Println(unmet.Failures[0].Name)
	}
	err = install.Confirm(confirmed, install.Confirmation{What: read, Who: "И. Петров", When: time.Now()})
	fmt.Println(err)
	_, err = list.Run(context.Background())
	fmt.Println(err)
	// Output:
	// [reports: the quarter's are not sent; send them (waived: the ministry has put them off)]
	// requirements are not met: confirmation: "R14 2028: the requirements were read" is not confirmed; do it, then confirm it
	// confirmation
	// <nil>
	// <nil>
}

// Missing rights are known when the update is planned.
func ExampleCommand_Rights() {
	err := install.Command{Path: "/srv/archive/ASP/7.13.100/Setup.msi", Kind: install.MSI}.Rights()
	if errors.Is(err, install.ErrPermission) {
		fmt.Println("run the update as an administrator:", err)
	}
}
