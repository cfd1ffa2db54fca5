package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the application's databases in the tests
)

// An office is an installation that is shaped as the vendor's application: a web
// application in front of a list of databases. A release replaces the program alone.
// Each database is restructured when someone asks for it, and until then the
// application works, and reports after a login which ones differ.
type office struct{ installation }

// differ is what the application reports after a login while a database has not the
// structure that the program needs.
const differ = "структура отличается"

func (o office) is() bool        { return o.read("databases") != "" }
func (o office) names() []string { return strings.Fields(o.read("databases")) }

// connect opens a database: a file beside the program, or one of a server.
func (o office) connect(name string) (*sql.DB, error) {
	if uri := o.read("server"); uri != "" {
		return sql.Open("pgx", strings.ReplaceAll(uri, "{database}", name))
	}
	return openSQLite(o.path(name + ".db"))
}

// note adds a line to one of the application's logs.
func (o office) note(log, line string) error {
	f, err := os.OpenFile(o.path(log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, line+"\n")
	return errors.Join(err, f.Close())
}

// install puts the program of a release in place and leaves it running, as the
// vendor's installer does. It changes no database.
func (o office) install(ctx context.Context, c change) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := errors.Join(o.write("release", text), o.write("version", []byte(c.Version))); err != nil {
		return err
	}
	return o.start(ctx)
}

// serve is the application.
func (o office) serve(ctx context.Context) (err error) {
	p := portal{office: o, databases: map[string]*base{}}
	for _, name := range o.names() {
		db, err := o.connect(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		p.databases[name] = &base{DB: db}
	}
	return o.listen(ctx, p.handler)
}

// A portal is the running application.
type portal struct {
	office
	databases map[string]*base
}

// A base is one of its databases.
type base struct {
	*sql.DB
	restructuring sync.Mutex
}

func (p portal) handler(quit func()) http.Handler {
	mux, asUser := p.entry(quit)
	page := func(w http.ResponseWriter, r *http.Request) {
		text, err := p.page(r.Context())
		answer(w, text, err)
	}
	asUser("POST /login", page)
	mux.HandleFunc("POST /maintenance/login", page)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.read("version"), nil) })
	onBase := func(do func(ctx context.Context, name string, db *base, r *http.Request) (string, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			name := r.FormValue("database")
			db := p.databases[name]
			if db == nil {
				http.Error(w, "no such database", http.StatusNotFound)
				return
			}
			// What was begun goes on where the one who asked goes away.
			text, err := do(context.WithoutCancel(r.Context()), name, db, r)
			answer(w, text, err)
		}
	}
	asUser("POST /write", onBase(func(ctx context.Context, _ string, db *base, r *http.Request) (string, error) {
		id := r.FormValue("id")
		_, err := db.ExecContext(ctx, "INSERT INTO entry (id, text) VALUES ($1, $2) ON CONFLICT DO NOTHING", id, "entry "+id)
		return "", err
	}))
	mux.HandleFunc("POST /restructure", onBase(func(ctx context.Context, name string, db *base, _ *http.Request) (string, error) {
		return "", p.restructure(ctx, name, db)
	}))
	mux.HandleFunc("GET /structure", onBase(func(ctx context.Context, _ string, db *base, _ *http.Request) (string, error) {
		if !db.restructuring.TryLock() {
			return "", errors.New("the database is being restructured")
		}
		defer db.restructuring.Unlock()
		return structure(ctx, db.DB)
	}))
	return mux
}

// answer replies with a text or an error.
func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, text+"\n")
}

// structure returns the version that a database has the structure of.
func structure(ctx context.Context, db *sql.DB) (v string, err error) {
	err = db.QueryRowContext(ctx, "SELECT version FROM about").Scan(&v)
	return v, err
}

// page is what is shown after a login: the version, and the databases that differ.
func (p portal) page(ctx context.Context) (string, error) {
	version := p.read("version")
	text := "АСП, версия " + version
	var others []string
	for _, name := range p.names() {
		v, err := structure(ctx, p.databases[name].DB)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if v != version {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		text += "\n" + differ + ": " + strings.Join(others, ", ")
	}
	return text, nil
}

// restructure brings a database to the structure that the program needs, one
// statement at a time, so that it can be interrupted in the middle.
func (p portal) restructure(ctx context.Context, name string, db *base) error {
	if err := p.note("requests", name); err != nil {
		return err
	}
	db.restructuring.Lock()
	defer db.restructuring.Unlock()
	var c change
	if err := json.Unmarshal([]byte(p.read("release")), &c); err != nil {
		return err
	}
	if v, err := structure(ctx, db.DB); err != nil || v == c.Version {
		return err
	}
	for _, s := range append([]string{"UPDATE about SET version = 'half of " + c.Version + "'"}, c.Statements...) {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
		if slices.Contains(c.Slow, name) {
			time.Sleep(c.Pause)
		}
	}
	if err := p.wait(name); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "UPDATE about SET version = '"+c.Version+"'"); err != nil {
		return err
	}
	return p.note("restructured", name)
}

// wait waits while the file "hold" has the name of a database.
func (p portal) wait(name string) error {
	held := func() bool { return slices.Contains(strings.Fields(p.read("hold")), name) }
	if held() {
		if err := p.note("held", name); err != nil {
			return err
		}
	}
	for held() {
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// restructureOne is the command that has a database restructured, and waits for it.
func (o office) restructureOne(ctx context.Context, database string) error {
	return o.post(ctx, "/restructure?database="+database)
}

// structureOf is the command that prints the version that a database has the
// structure of.
func (o office) structureOf(ctx context.Context, database string) error {
	v, err := o.ask(ctx, http.MethodGet, "/structure?database="+database)
	if err == nil {
		fmt.Println(v)
	}
	return err
}
