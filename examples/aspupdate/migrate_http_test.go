//go:build unix

package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A webOffice is a site of three databases, which its application restructures when it is asked to
// with POST. A page shows the structure of each.
type webOffice struct {
	*scriptSite
	*httptest.Server
	fails, hangs string // the database for which the application answers with 500, or not at all

	sync.Mutex
	begun   []string       // one for each request to start
	left    map[string]int // how often the page is asked until the structure changes
	changed chan struct{}  // closed once the database that hangs has changed
}

const webOffices = 3

func newWebOffice(t *testing.T) *webOffice {
	t.Helper()
	s := &webOffice{left: map[string]int{}, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /restructure/{database}", s.restructure)
	mux.HandleFunc("GET /structure/{database}", s.structure)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	var databases, migrations strings.Builder
	for i := range webOffices {
		fmt.Fprintf(&databases, "[[sqlite]]\npath = '${SITE}/%s'\n", base(i))
		fmt.Fprintf(&migrations, `[[distribution.migrate]]
database = '%s'
http = '%s/restructure/{database}'
body = '<db>{database}</db>'
headers = { Authorization = 'key' }
done_http = '%[2]s/structure/{database}'
text = 'structure of version ([0-9.]+)'
`, base(i), s.URL)
	}
	s.scriptSite = newScriptSite(t, "close = ['/usr/bin/touch', '${OWN}/closed']\nopen = ['/bin/rm', '-f', '${OWN}/closed']\n"+databases.String(), migrations.String())
	for i := range webOffices {
		s.exec(base(i), "CREATE TABLE about (version TEXT)", "INSERT INTO about VALUES ('7.12.100')")
	}
	s.installed("7.12.100")
	s.publish("7.13.100", "Setup", "echo 7.13.100 > $1/version\n")
	return s
}

func (s *webOffice) exec(name string, statements ...string) {
	db, err := sql.Open("sqlite", filepath.Join(s.site, name))
	for _, statement := range statements {
		if err == nil {
			_, err = db.Exec(statement)
		}
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		s.t.Error(err)
	}
}

func (s *webOffice) version(name string) (version string) {
	db, err := sql.Open("sqlite", filepath.Join(s.site, name))
	if err == nil {
		err = db.QueryRow("SELECT version FROM about").Scan(&version)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		s.t.Error(err)
	}
	return version
}

func (s *webOffice) restructure(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("database")
	body, err := io.ReadAll(r.Body) // the server watches the connection once the body is read
	s.Lock()
	s.begun = append(s.begun, name)
	s.Unlock()
	switch {
	case err != nil || string(body) != "<db>"+name+"</db>" || r.Header.Get("Authorization") != "key":
		w.WriteHeader(http.StatusUnauthorized)
	case name == s.fails:
		s.exec(name, "UPDATE about SET version = 'half'")
		w.WriteHeader(http.StatusInternalServerError)
	case name == s.hangs:
		if err := os.WriteFile(filepath.Join(s.own, "waiting-"+name), nil, 0o600); err != nil {
			s.t.Error(err)
		}
		<-r.Context().Done() // the client is gone
		s.exec(name, "UPDATE about SET version = '7.13.100'")
		close(s.changed)
	default:
		s.exec(name, "UPDATE about SET version = 'half'")
		s.Lock()
		s.left[name] = 2
		s.Unlock()
		w.WriteHeader(http.StatusAccepted)
	}
}

func (s *webOffice) structure(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("database")
	s.Lock()
	defer s.Unlock()
	if s.left[name] > 0 {
		if s.left[name]--; s.left[name] > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.exec(name, "UPDATE about SET version = '7.13.100'")
	}
	fmt.Fprintf(w, "<p>structure of version %s</p>", s.version(name))
}

// all fails unless users are in, and every database has the version of the application.
func (s *webOffice) all(version string) {
	s.t.Helper()
	require.NoFileExists(s.t, filepath.Join(s.own, "closed"))
	require.Equal(s.t, version+"\n", s.read("version"))
	for i := range webOffices {
		require.Equal(s.t, version, s.version(base(i)), base(i))
	}
}

func TestR11TheApplicationIsAskedToRestructure(t *testing.T) {
	t.Parallel()
	s := newWebOffice(t)
	code, out := s.run("update")
	require.Zero(t, code, out)
	s.all("7.13.100")
	require.Equal(t, []string{base(0), base(1), base(2)}, s.begun)
	entries, err := rollback.ReadHistory(filepath.Join(s.own, "state"))
	require.NoError(t, err)
	require.Len(t, entries[len(entries)-1].Migrated, webOffices)
	require.Positive(t, entries[len(entries)-1].Migrated["sqlite "+base(0)])
}

func TestR15ARefusedRestructuringTakesAllBack(t *testing.T) {
	t.Parallel()
	s := newWebOffice(t)
	s.fails = base(1)
	code, out := s.run("update")
	require.Equal(t, exitRolledBack, code, out)
	require.Contains(t, out, "/restructure/"+base(1)+" answers with status 500")
	s.all("7.12.100")
	require.Equal(t, []string{base(0), base(1)}, s.begun)
}

// The updater is killed after its request and before the answer: the structure is looked at before
// anything is started once more.
func TestR11AKillAfterTheRequestStartsNothingTwice(t *testing.T) {
	t.Parallel()
	s := newWebOffice(t)
	s.hangs = base(1)
	s.killed(s.hangs)
	select {
	case <-s.changed:
	case <-time.After(time.Minute):
		t.Fatal("the application does not see that its caller is gone")
	}
	require.FileExists(t, filepath.Join(s.own, "closed"))
	code, out := s.run("recover")
	require.Zero(t, code, out)
	s.all("7.13.100")
	require.Equal(t, []string{base(0), base(1), base(2)}, s.begun)
}
