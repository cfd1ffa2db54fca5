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
		Observe: func(e install.Event) {
			if fmt.Println(e.Kind); e.Elapsed > time.Hour {
				fmt.Println(e.Time, e.Text)
			}
		},
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
	p := install.TCPProbe{Addr: "127.0.0.1:5432", Then: install.SQLProbe{DB: db, Query: "SELECT version FROM about", Timeout: time.Minute,
		Explain: error.Error, // for a driver whose errors do not quote the password
	}}
	fmt.Println(install.Await(context.Background(), p, "7.13.100", install.AwaitOptions{ReportInterval: 10 * time.Minute}))
}

// The files are of the version, and people can log in.
func ExampleFileProbe() {
	p := install.HTTPProbe{
		URL:  "http://127.0.0.1:8080/",
		Text: regexp.MustCompile("Вход в систему"),
		Then: install.FileProbe{Path: `C:\ASP\asp.exe`, Key: "ProductVersion"},
	}
	err := install.Await(context.Background(), p, "7.13.100", install.AwaitOptions{})
	if e, ok := errors.AsType[*install.Error](err); ok && e.Got != "" {
		fmt.Println("the version did not change from", e.Got)
	}
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
	fmt.Println(waived[0].Name, waived[0].Err, waived[0].Waived)
	fmt.Println(err)
	if unmet, ok := errors.AsType[*install.Unmet](err); ok {
		fmt.Println(unmet.Failures[0].Name)
	}
	err = install.Confirm(confirmed, install.Confirmation{What: read, Who: "И. Петров", When: time.Now()})
	fmt.Println(err)
	_, err = list.Run(context.Background())
	fmt.Println(err)
	// Output:
	// reports the quarter's are not sent; send them the ministry has put them off
	// requirements are not met: confirmation: "R14 2028: the requirements were read" is not confirmed; do it, then confirm it
	// confirmation
	// <nil>
	// <nil>
}

// A first installation by FullSetup, with all that must be true before it (R3).
func ExampleNothingInstalled() {
	asp := install.HTTPProbe{URL: "http://127.0.0.1:8080/version", Header: http.Header{"Authorization": {os.Getenv("ASP_TOKEN")}}, Transport: &http.Transport{}}
	r := install.Runner{State: "/var/lib/aspupdate/install", Output: func(text string) { fmt.Print(text) }}
	r.Observe = func(e install.Event) { fmt.Println(e, e.PID) }
	if _, err := (install.Checklist{install.NothingInstalled(asp), install.Elevated()}).Run(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	out, err := r.Run(context.Background(), install.Command{
		Path:        "/srv/archive/ASP/7.13.100/FullSetup.exe",
		SHA256:      "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", // of the archive's entry
		Kind:        install.Inno,
		Deadline:    time.Hour,
		Dir:         "/var/lib/asp",
		Log:         "/var/log/asp-setup.log",
		Application: []string{"/opt/asp"}, // which it starts
	})
	switch {
	case errors.Is(err, install.ErrMismatch):
		fmt.Println("fetch the release again")
	case errors.Is(err, install.ErrUnsettled):
		fmt.Println("call Settle first")
	case errors.Is(err, install.ErrTimeout), out.Status == install.Unknown:
		fmt.Println("query the probe; the logs are", out.Log, out.OwnLog)
	case errors.Is(err, install.ErrFailed):
		fmt.Println("an installer of kind", out.Kind, "failed:", out.Meaning)
	case err == nil:
		fmt.Println(out.Next) // such as a restart
	}
	if e, ok := errors.AsType[*install.Error](err); ok {
		fmt.Println(e.Op, e.Subject, e.Err, e.Next)
	}
}

// An installer has exit codes of its own. 0 is a success, and any other code
// that the table does not have is a failure.
func ExampleCodes() {
	codes := install.Codes{
		4: {install.Busy, "another setup is in progress", "wait"}, // it is then started again
		5: {install.Canceled, "canceled by a person", "run it again, unattended"},
		6: {install.OK, "nothing to do", ""},
	}
	codes[7] = install.Verdict{Status: install.Failed, Meaning: "the disk is full", Next: "free some space"}
	fmt.Println(codes[7].Status, codes[7].Meaning)
	// Output: failed the disk is full
}

// Missing rights are known when the update is planned.
func ExampleRunner_Ready() {
	runner := &install.Runner{State: "/var/lib/asp/install"}
	err := runner.Ready(context.Background(), install.Command{Path: "/srv/archive/ASP/7.13.100/Setup.msi", Kind: install.MSI})
	if errors.Is(err, install.ErrPermission) {
		fmt.Println("run the update as an administrator:", err)
	}
}
