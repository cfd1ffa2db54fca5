package site

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What a restructuring prints is shown without the password of its database.
func TestRestructuringIsShownWithoutThePassword(t *testing.T) {
	password, got := "correct horse", ""
	s := &Site{Observe: Observe{Output: func(data, text string) { got += data + "> " + text }}}
	s.restructuring(database{data: "database asp", secret: secret{&password}})("level 2: correct horse\n")
	require.Equal(t, "database asp> level 2: ***\n", got)
	require.Nil(t, (&Site{}).restructuring(database{}))
}

// What an installer prints is shown without what the configuration gives to it by name.
func TestInstallersOutputIsShownWithoutSecrets(t *testing.T) {
	t.Setenv("SETUP_PASSWORD", "battery staple")
	got := ""
	s := &Site{
		Config:  &Config{Distributions: []distributionConfig{{}, {Environment: []string{"SETUP_PASSWORD"}}}},
		Observe: Observe{Output: func(data, text string) { got += data + "> " + text }},
	}
	s.runner().Output("connecting with battery staple")
	require.Equal(t, "> connecting with $SETUP_PASSWORD", got)
}

func TestMigrationsThatContradictThemselves(t *testing.T) {
	structure := []string{"structure"}
	for name, c := range map[string]struct {
		migrate []migrateConfig
		said    string
	}{
		"unknown":          {[]migrateConfig{{Database: "other", Structure: structure}}, `migrate "other": database names no [[postgres]]`},
		"twice":            {[]migrateConfig{{Database: "asp", Structure: structure}, {Database: "asp", Structure: structure}}, `migrate "asp": this database is given twice`},
		"neither":          {[]migrateConfig{{Database: "asp"}}, "give one of structure, sql and done_http"},
		"both":             {[]migrateConfig{{Database: "asp", Structure: structure, SQL: "SELECT 1"}}, "give one of structure, sql and done_http"},
		"sql":              {[]migrateConfig{{Database: "docs.db", SQL: "SELECT 1"}}, "sql is for a [[postgres]]"},
		"goes on":          {[]migrateConfig{{Database: "asp", Structure: structure, GoesOn: true}}, "goes_on needs command"},
		"two starts":       {[]migrateConfig{{Database: "asp", Structure: structure, Command: structure, HTTP: "http://asp/start"}}, "command and http exclude each other"},
		"two ends":         {[]migrateConfig{{Database: "asp", Structure: structure, DoneHTTP: "http://asp/done"}}, "give one of structure, sql and done_http"},
		"body":             {[]migrateConfig{{Database: "asp", Structure: structure, Body: "start"}}, "body needs http"},
		"headers":          {[]migrateConfig{{Database: "asp", Structure: structure, Headers: map[string]string{"A": "b"}}}, "headers need http"},
		"text":             {[]migrateConfig{{Database: "asp", Structure: structure, Text: "version"}}, "text needs done_http"},
		"expression":       {[]migrateConfig{{Database: "asp", DoneHTTP: "http://asp/done", Text: "("}}, "text: "},
		"address":          {[]migrateConfig{{Database: "asp", DoneHTTP: "http://asp/done", HTTP: "ftp://user:secret@asp/"}}, "http: write it as http://host/path"},
		"done":             {[]migrateConfig{{Database: "asp", DoneHTTP: "asp/done"}}, "done_http: write it as http://host/path"},
		"header":           {[]migrateConfig{{Database: "asp", Structure: structure, HTTP: "http://asp/start", Headers: map[string]string{"A b": "c"}}}, "headers: "},
		"goes on, by HTTP": {[]migrateConfig{{Database: "asp", Structure: structure, HTTP: "http://asp/start", GoesOn: true}}, "goes_on needs command"},
		"by HTTP":          {[]migrateConfig{{Database: "asp", DoneHTTP: "http://asp/done?db={database}", Text: "version ([0-9.]+)", HTTP: "http://{database}.asp/start", Headers: map[string]string{"A": "b"}}}, ""},
		"possible":         {[]migrateConfig{{Database: "asp", SQL: "SELECT 1"}, {Database: "docs.db", Structure: structure, Command: structure, GoesOn: true}}, ""},
	} {
		config := Config{
			Postgres: []postgresConfig{{Name: "asp"}}, SQLite: []pathConfig{{Path: "/srv/docs.db"}},
			Distributions: []distributionConfig{{Name: "АСП", Migrate: c.migrate}},
		}
		m := config.checkMigrations()
		if c.said == "" {
			require.Empty(t, m, name)
			continue
		}
		require.Len(t, m, 1, name)
		require.ErrorContains(t, m[0], "distribution АСП: ", name)
		require.ErrorContains(t, m[0], c.said, name)
		require.NotContains(t, m[0].Error(), "secret", name)
	}
	require.NotEmpty(t, (&Config{Parallel: -1}).checkMigrations())
}

// The name of a database is text wherever a request has it, and nothing else.
func TestRestructuringIsStartedByARequest(t *testing.T) {
	status, got := http.StatusAccepted, []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.RequestURI+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Authorization")+" "+string(body))
		w.WriteHeader(status)
		_, _ = w.Write(bytes.Repeat([]byte{0}, 1<<20)) // what it contains does not count
	}))
	defer server.Close()
	name := `a&b" <c>/?d+`
	for kind, body := range map[string]string{
		"":                                  "text/xml; charset=utf-8 key <db>a&amp;b&#34; &lt;c&gt;/?d+</db>",
		"application/soap+xml":              "application/soap+xml key <db>a&amp;b&#34; &lt;c&gt;/?d+</db>",
		"Application/JSON; x=y":             `Application/JSON; x=y key <db>a\u0026b\" \u003cc\u003e/?d+</db>`,
		"text/plain":                        `text/plain key <db>a&b" <c>/?d+</db>`,
		"application/x-www-form-urlencoded": "application/x-www-form-urlencoded key <db>a%26b%22+%3Cc%3E%2F%3Fd%2B</db>",
	} {
		one := migrateConfig{HTTP: server.URL + "/start/{database}?db={database}", Body: "<db>{database}</db>", Headers: map[string]string{"Authorization": "key"}}
		if kind != "" {
			one.Headers["Content-Type"] = kind
		}
		require.Equal(t, kind == "text/plain", slices.Contains(one.verbatim(), one.Body))
		got = nil
		require.NoError(t, one.start(database{name: name}).starter(http.DefaultTransport)(t.Context()))
		const escaped = "a%26b%22%20%3Cc%3E%2F%3Fd%2B"
		require.Equal(t, []string{"POST /start/" + escaped + "?db=" + escaped + " " + body}, got)
	}

	status = http.StatusGatewayTimeout // a server before the application waits for no restructuring
	require.NoError(t, migrateConfig{HTTP: server.URL}.start(database{}).starter(http.DefaultTransport)(t.Context()))
	got, status = nil, http.StatusInternalServerError
	start := migrateConfig{HTTP: server.URL}.start(database{}).starter(http.DefaultTransport)
	require.ErrorContains(t, start(t.Context()), "answers with status 500")
	status = http.StatusFound
	require.ErrorContains(t, start(t.Context()), "answers with status 302")
	require.Equal(t, []string{"POST /   ", "POST /   "}, got, "each is sent once")
	require.Nil(t, migrateConfig{}.start(database{}).starter(nil))
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A request that was not sent is sent again, since the application may not listen yet; one without
// an answer may have begun the restructuring, and is not.
func TestRequestThatWasSentIsNotSentAgain(t *testing.T) {
	for op, want := range map[string]int{"dial": 2, "read": 1} {
		sent := 0
		start := migrateConfig{HTTP: "http://127.0.0.1/"}.start(database{}).starter(transport(func(*http.Request) (*http.Response, error) {
			if sent++; sent == 1 {
				return nil, &net.OpError{Op: op, Err: errors.New("refused")}
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}))
		err := start(t.Context())
		require.Equal(t, op == "read", err != nil, op)
		require.Equal(t, want, sent, op)
	}
}

// IIS and nginx answer in place of an application that is being started.
func TestRequestIsSentAgainWhileTheApplicationStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for status, starts := range map[int]bool{http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusNotFound: false} {
			for _, least := range []time.Duration{time.Minute, time.Hour} {
				begun, sent := time.Now(), 0
				err := migrateConfig{HTTP: "http://127.0.0.1/"}.start(database{}).starter(transport(func(*http.Request) (*http.Response, error) {
					sent++
					answer := http.StatusOK
					if time.Since(begun) < least {
						answer = status
					}
					return &http.Response{StatusCode: answer, Status: http.StatusText(answer), Body: http.NoBody}, nil
				}))(t.Context())
				switch took := time.Since(begun); {
				case !starts:
					require.Error(t, err)
					require.Equal(t, 1, sent)
				case least == time.Minute:
					require.NoError(t, err)
					require.InDelta(t, least.Seconds(), took.Seconds(), 2)
				default:
					require.ErrorContains(t, err, "the server has no answer of the application: "+http.StatusText(status))
					require.InDelta(t, serverStart.Seconds(), took.Seconds(), 2)
				}
			}
		}
	})
}

// Data in a directory is not worked on beside it.
func TestParallelDataIsNotNested(t *testing.T) {
	c := &Config{Parallel: 2, Directories: []pathConfig{{Path: "/opt/asp"}, {Path: "/opt/asp-data"}}, SQLite: []pathConfig{{Path: "/opt/asp/data/asp.db"}}}
	require.Len(t, c.checkParallel(), 1)
	require.ErrorContains(t, c.checkParallel()[0], "[[sqlite]] /opt/asp/data/asp.db is in [[directory]] /opt/asp, and they would be worked on at the same time")
	c.Directories = append(c.Directories, pathConfig{Path: "/opt/asp-data/files"})
	require.Len(t, c.checkParallel(), 2)
	c.Parallel = 1
	require.Empty(t, c.checkParallel())
}
