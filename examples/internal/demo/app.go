package demo

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"
	_ "modernc.org/sqlite" // the application's database

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/process"
)

// An installation is the directory of the demo's application. It holds its
// version, its database and the files with its state.
type installation string

func (i installation) path(name string) string { return filepath.Join(string(i), name) }
func (i installation) database() string        { return i.path("app.db") }
func (i installation) url(path string) string {
	return "http://127.0.0.1:" + i.read("port") + path
}

func (i installation) read(name string) string {
	b, err := os.ReadFile(i.path(name))
	if err != nil {
		return "" // does not exist yet
	}
	return string(bytes.TrimSpace(b))
}

// write replaces a file that other processes poll.
func (i installation) write(name string, data []byte) error {
	return durable.WhileInUse(func() error { return os.WriteFile(i.path(name), data, 0o600) })
}

// migrating reports whether an installer is changing the database.
func (i installation) migrating() bool { return i.read("migrating") != "" }

// create makes the directory, with the program that the application is.
func (i installation) create(port int, program string) error {
	if err := os.MkdirAll(string(i), 0o700); err != nil {
		return err
	}
	return errors.Join(i.write("port", []byte(strconv.Itoa(port))), i.write("program", []byte(program)))
}

func (i installation) open() (*sql.DB, error) { return openSQLite(i.database()) }

func openSQLite(path string) (*sql.DB, error) {
	return sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
}

// serve is the application. It acknowledges a write once it is durable, and
// refuses writes while the entry is closed.
func (i installation) serve(ctx context.Context) (err error) {
	if o := (office{i}); o.is() {
		return o.serve(ctx)
	}
	db, err := i.open()
	if err != nil {
		return err
	}
	err = i.listen(ctx, func(quit func()) http.Handler { return i.handler(db, quit) })
	return errors.Join(err, db.Close())
}

// listen answers requests until the application is ended.
func (i installation) listen(ctx context.Context, handler func(quit func()) http.Handler) (err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+i.read("port"))
	if err != nil {
		return err
	}
	// The file is removed last: without it no process has the database open.
	if err := i.write("running", []byte("yes")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, durable.Remove(i.path("running"))) }()
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	server := &http.Server{Handler: handler(quit), ReadHeaderTimeout: 10 * time.Second}
	down := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		down <- server.Shutdown(ctx)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-down
}

// handler returns the application's requests; quit ends the application.
func (i installation) handler(db *sql.DB, quit func()) http.Handler {
	mux, asUser := i.entry(quit)
	asUser("POST /write", func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("id")
		reply(w, func() error {
			_, err := db.ExecContext(r.Context(), "INSERT OR IGNORE INTO entry (id, text) VALUES (?, ?)", id, "entry "+id)
			return err
		}())
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, r *http.Request) {
		v, err := i.healthy(r.Context(), db)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError) // R12: system errors during the restructuring
			return
		}
		_, _ = io.WriteString(w, v+"\n")
	})
	return mux
}

// entry returns a handler with the requests that close and open the entry and end
// the application, and the function that adds those of users, which are refused
// while the entry is closed.
func (i installation) entry(quit func()) (mux *http.ServeMux, asUser func(pattern string, answer http.HandlerFunc)) {
	var users sync.RWMutex // closing the entry waits for requests of users
	turn := func(text string) error {
		users.Lock()
		defer users.Unlock()
		return i.write("closed", []byte(text))
	}
	mux = http.NewServeMux()
	mux.HandleFunc("POST /close", func(w http.ResponseWriter, _ *http.Request) { reply(w, turn("closed")) })
	mux.HandleFunc("POST /open", func(w http.ResponseWriter, _ *http.Request) { reply(w, turn("")) })
	mux.HandleFunc("POST /quit", func(w http.ResponseWriter, _ *http.Request) { reply(w, nil); quit() })
	return mux, func(pattern string, answer http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			users.RLock()
			defer users.RUnlock()
			if i.read("closed") != "" {
				http.Error(w, "the application is being updated", http.StatusServiceUnavailable)
				return
			}
			answer(w, r)
		})
	}
}

func reply(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// healthy returns the version if the software and the data have the same one
// and the data can be read.
func (i installation) healthy(ctx context.Context, db *sql.DB) (string, error) {
	var schema string
	if err := db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'version'").Scan(&schema); err != nil {
		return "", err
	}
	if software := i.read("version"); software != schema {
		return "", fmt.Errorf("the software is at version %s, the data at %s", software, schema)
	}
	rows, err := db.QueryContext(ctx, "SELECT text FROM entry LIMIT 1")
	if err != nil {
		return "", err
	}
	return schema, rows.Close()
}

// start starts the application as its own process, if it is not running, and
// waits until it answers.
func (i installation) start(ctx context.Context) error {
	if i.answers(ctx) {
		return nil
	}
	log, err := os.OpenFile(i.path("app.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(i.read("program"), "demo", "app", "--dir", string(i))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, process.OwnGroup()
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := cmd.Process.Release(); err != nil {
		return err
	}
	return i.until(ctx, "start", func() bool { return i.answers(ctx) })
}

// stop ends the application and waits until it has exited.
func (i installation) stop(ctx context.Context) error {
	if err := i.post(ctx, "/quit"); err != nil && i.answers(ctx) {
		return err
	}
	return i.until(ctx, "stop", func() bool { return !i.answers(ctx) && i.read("running") == "" })
}

// status fails if the application is stopped, with the exit code that application.status has for that, and
// with another one while it comes to its end: what is said to run then is not started, and what is said to
// be stopped may be restored over.
func (i installation) status(ctx context.Context) error {
	switch {
	case i.answers(ctx):
		return nil
	case i.read("running") != "":
		return cli.Exit("the application is stopping", 0) // the program's code for a command line is 2
	}
	return errors.New("the application is stopped")
}

// closeEntry closes the entry, whether the application is running or not.
func (i installation) closeEntry(ctx context.Context) error {
	if !i.answers(ctx) {
		return i.write("closed", []byte("closed"))
	}
	return i.post(ctx, "/close")
}

// openEntry opens the entry, whether the application is running or not.
func (i installation) openEntry(ctx context.Context) error {
	if !i.answers(ctx) {
		return i.write("closed", nil)
	}
	return i.post(ctx, "/open")
}

// until waits until done returns true; what completes the error "the
// application did not …".
func (i installation) until(ctx context.Context, what string, done func() bool) error {
	const deadline = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the application did not %s within %s; see %s", what, deadline, i.path("app.log"))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// answers reports whether the application accepts connections.
func (i installation) answers(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", "127.0.0.1:"+i.read("port"))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func (i installation) post(ctx context.Context, path string) error {
	_, err := i.ask(ctx, http.MethodPost, path)
	return err
}

// ask returns what the application answers.
func (i installation) ask(ctx context.Context, method, path string) (answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, i.url(path), nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	answer = strings.TrimSpace(string(text))
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", path, res.Status, answer)
	}
	return answer, err
}

// install is the installer of a release. It reads the release from the end of
// its own file.
func (i installation) install(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c, err := readChange(self)
	if err != nil {
		return err
	}
	fmt.Printf("installing %s, %d steps\n", c.Version, len(c.Statements)) // into the installer's log
	if o := (office{i}); o.is() {
		return o.install(ctx, c)
	}
	return i.apply(ctx, c)
}

// apply puts the software of a release in place and migrates the database, one
// statement at a time, so that it can be interrupted in the middle.
func (i installation) apply(ctx context.Context, c change) (err error) {
	if err := i.write("migrating", []byte(c.Version)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, durable.Remove(i.path("migrating"))) }()
	if err := i.write("version", []byte(c.Version)); err != nil {
		return err
	}
	db, err := i.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"); err != nil {
		return err
	}
	var schema string
	switch err := db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'version'").Scan(&schema); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case schema == c.Version:
		return nil // a rollback: the data is restored already
	}
	for _, s := range c.Statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
		time.Sleep(c.Pause)
	}
	_, err = db.ExecContext(ctx, "INSERT OR REPLACE INTO meta (key, value) VALUES ('version', ?)", c.Version)
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
