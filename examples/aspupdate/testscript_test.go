package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// TestScripts runs testdata/script/*.txtar. Each script has an FTP server in
// memory, an installation with one distribution, and an application that answers
// with the content of the file "installed". $OLD and $LAST are the versions of
// the last two releases that were due, $NEXT is the next one, $LATER the one
// after $LAST in the same month, and $YEAR the year of both.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		Setup:               setUpScript,
		RequireExplicitExec: true,
		Condition:           scriptCondition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"aspupdate":   scriptRun,
			"alone":       scriptAlone,
			"behind":      scriptBehind,
			"configure":   scriptConfigure,
			"document":    scriptDocument,
			"damage":      scriptDamage,
			"journal":     scriptJournal,
			"confirm":     scriptConfirm,
			"aside":       scriptAside,
			"hold-lock":   scriptHoldLock,
			"publish":     scriptPublish,
			"unpublish":   scriptUnpublish,
			"stop-server": func(ts *testscript.TestScript, _ bool, _ []string) { scriptServer(ts).Close() },
			"eventually":  scriptEventually,
		},
	})
}

type serverKey struct{}

func scriptServer(ts *testscript.TestScript) *fetchtest.Server {
	return ts.Value(serverKey{}).(*fetchtest.Server)
}

// setUpScript starts a script's servers and writes its configuration.
func setUpScript(env *testscript.Env) error {
	server, err := fetchtest.Listen()
	if err != nil {
		return err
	}
	env.Defer(server.Close)
	server.User, server.Password = "site", "correct horse"
	env.Values[serverKey{}] = server
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		installed, err := os.ReadFile(filepath.Join(env.WorkDir, "installed"))
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(installed)
	}))
	env.Defer(app.Close)
	config := strings.NewReplacer(
		"address = '127.0.0.1:1'", "address = '"+server.Addr+"'\nuser = 'site'\npassword_env = 'SITE_FTP_PASSWORD'\nsettle = '1ms'",
		"http://127.0.0.1:1/", app.URL,
		"name = 'АСП'", "name = 'АСП'\nkind = 'plain'", // what the scripts publish are no installers
	).Replace(goodConfig(env.WorkDir))
	if err := setVersions(env); err != nil {
		return err
	}
	self, err := os.Executable() // runs the operator's commands, see helpers
	if err != nil {
		return err
	}
	env.Setenv("SELF", filepath.ToSlash(self))
	env.Setenv("PROGRAM", program)
	env.Setenv("SITE_FTP_PASSWORD", server.Password)
	env.Setenv("ASPUPDATE_CONFIG", filepath.Join(env.WorkDir, "aspupdate.toml"))
	return os.WriteFile(filepath.Join(env.WorkDir, "aspupdate.toml"), []byte(config), 0o600)
}

// setVersions sets the variables with the versions of the vendor's calendar.
func setVersions(env *testscript.Env) error {
	var due []version.Version
	for r, err := range (schedule.Calendar{}).Before(time.Now()) {
		if err != nil {
			return err
		}
		if due = append(due, r.Version); len(due) == 2 {
			break
		}
	}
	for r := range (schedule.Calendar{}).From(time.Now()) {
		env.Setenv("NEXT", r.Version.String())
		break
	}
	last := due[0]
	year, _, err := schedule.Numbering{}.Month(last)
	if err != nil {
		return err
	}
	later, err := version.New(last.X(), last.YY(), last.ZZZ()+100)
	if err != nil {
		return err
	}
	env.Setenv("OLD", due[1].String())
	env.Setenv("LAST", last.String())
	env.Setenv("LATER", later.String())
	env.Setenv("YEAR", strconv.Itoa(year))
	return nil
}

// aspupdate CODE ARGUMENTS... fails unless the program exits with this code and
// prints no secret.
func scriptRun(ts *testscript.TestScript, _ bool, args []string) {
	scriptProgram(ts, args, program)
}

// alone CODE ARGUMENTS... is aspupdate in a network namespace of its own: not even
// this machine can be reached.
func scriptAlone(ts *testscript.TestScript, _ bool, args []string) {
	scriptProgram(ts, args, "unshare", "-n", program)
}

// scriptCondition reports whether the command alone works here. Where tests must
// not be skipped, a script that asks fails on a Linux where it does not.
func scriptCondition(name string) (bool, error) {
	if name != "alone" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	err := exec.Command("unshare", "-n", "true").Run()
	if err != nil && runtime.GOOS == "linux" && os.Getenv("ASPUPDATE_REQUIRE_REAL") == "1" {
		return false, fmt.Errorf("ASPUPDATE_REQUIRE_REAL=1: no network namespace: %w", err)
	}
	return err == nil, nil
}

func scriptProgram(ts *testscript.TestScript, args []string, command ...string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(command[0], append(command[1:], args[1:]...)...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("aspupdate exited with code %d instead of %d", code, want)
	}
	if output := ts.ReadFile("stdout") + ts.ReadFile("stderr"); strings.Contains(output, "correct horse") {
		ts.Fatalf("aspupdate printed a secret")
	} else if runtime.GOOS != "windows" { // where words are quoted in another way
		ts.Check(typeable(output))
	}
}

// configure OLD NEW replaces text in the configuration. \n is a new line and
// $NAME a variable, even in quotes.
func scriptConfigure(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile("aspupdate.toml")
	expand := func(s string) string { return os.Expand(strings.ReplaceAll(s, `\n`, "\n"), ts.Getenv) }
	old, replacement := expand(args[0]), expand(args[1])
	if !strings.Contains(text, old) {
		ts.Fatalf("%q not found in the configuration", old)
	}
	text = strings.Replace(text, old, replacement, 1)
	ts.Check(os.WriteFile(ts.MkAbs("aspupdate.toml"), []byte(text), 0o600))
}

// document SCHEMA fails unless standard output is one JSON document with this
// schema, and nothing else.
func scriptDocument(ts *testscript.TestScript, _ bool, args []string) {
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var d struct{ Schema string }
	ts.Check(dec.Decode(&d))
	if d.Schema != args[0] {
		ts.Fatalf("the schema is %q instead of %q", d.Schema, args[0])
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("more than one document: %v", err)
	}
}

// damage VERSION [cut] changes a byte of an archived installer, or removes it.
func scriptDamage(ts *testscript.TestScript, _ bool, args []string) {
	found, err := filepath.Glob(filepath.Join(ts.MkAbs("archive"), "АСП", args[0], "Setup-*", "*.exe"))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%d installers of %s", len(found), args[0])
	}
	ts.Check(os.Chmod(found[0], 0o700))
	text, err := os.ReadFile(found[0])
	ts.Check(err)
	text[0] ^= 1
	if len(args) > 1 {
		text = text[1:]
	}
	ts.Check(os.WriteFile(found[0], text, 0o700))
}

// journal KIND FROM TO writes a journal with an update that is pending,
// quarantined, waits for a decision (operator) or a restart (reboot), or has
// another configuration's distribution (other); or a damaged journal, or a newer
// program's.
func scriptJournal(ts *testscript.TestScript, _ bool, args []string) {
	state := ts.MkAbs("state")
	ts.Check(os.MkdirAll(state, 0o700))
	if args[0] == "newer" {
		path := filepath.Join(state, "journal.log")
		text := strings.Replace(ts.ReadFile(path), "aspupdate journal 1", "aspupdate journal 2", 1)
		ts.Check(os.WriteFile(path, []byte(text), 0o600))
		return
	}
	if args[0] == "damaged" {
		ts.Check(os.WriteFile(filepath.Join(state, "journal.log"), []byte("no journal\nat all\n"), 0o600))
		return
	}
	plan := &rollback.Plan{Parts: []rollback.PlanPart{{Name: "АСП", From: rollback.Release{Version: rollback.Version(args[1])}, To: rollback.Release{Version: rollback.Version(args[2])}}}}
	if text, err := os.ReadFile(ts.MkAbs("plan.json")); err == nil {
		ts.Check(json.Unmarshal(text, plan)) // the program's own
	}
	if args[0] == "other" {
		plan.Parts[0].Name = "Опека"
	}
	records := []record{{Update: "u1", Step: "intent", Phase: "done", Way: "forward", Plan: plan}}
	note := func(step, phase, way, ref string) {
		records = append(records, record{Update: "u1", Step: step, Phase: phase, Way: way, Ref: ref})
	}
	switch args[0] {
	case "quarantined":
		note("rolled-back", "done", "back", "")
		note("end", "done", "back", "")
	case "operator":
		note("needs-operator", "done", "back", "")
	case "reboot":
		boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		ts.Check(err)
		note("reboot", "begin", "forward", strings.TrimSpace(string(boot)))
	}
	ts.Check(writeJournal(state, records...))
}

// confirm NAME sets a variable to the hash of the rollback that would run now.
func scriptConfirm(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec(program, "rollback", "--json"))
	var plan rollback.Plan
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &plan))
	ts.Setenv(args[0], plan.Hash)
}

// aside NAME sets a variable to the ID of the rollback that set data aside.
func scriptAside(ts *testscript.TestScript, _ bool, args []string) {
	st, err := rollback.ReadStatus(ts.MkAbs("state"))
	ts.Check(err)
	if len(st.Aside) != 1 {
		ts.Fatalf("%d rollbacks have set data aside instead of 1", len(st.Aside))
	}
	ts.Setenv(args[0], st.Aside[0].Update)
}

// hold-lock holds the lock, as another update does, until the script ends.
func scriptHoldLock(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(os.MkdirAll(ts.MkAbs("state"), 0o700))
	lock, err := rollback.Acquire(ts.MkAbs("state"), "updating", time.Now())
	ts.Check(err)
	ts.Defer(func() { _ = lock.Release() })
}

// publish PATH CONTENTS [AGE] puts a file on the server, with a modification time
// an hour ago, or as long ago as AGE.
func scriptPublish(ts *testscript.TestScript, _ bool, args []string) {
	age := time.Hour
	if len(args) > 2 {
		var err error
		age, err = time.ParseDuration(args[2])
		ts.Check(err)
	}
	scriptServer(ts).Put(args[0], []byte(args[1]), time.Now().Add(-age))
}

func scriptUnpublish(ts *testscript.TestScript, _ bool, args []string) {
	scriptServer(ts).Remove(args[0])
}

// eventually FILE TEXT waits until the file exists and contains the text, or
// with ! no longer contains it.
func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(text), args[1]) != neg {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: %q (negated: %v) not seen within 30s: %s", args[0], args[1], neg, text)
		}
	}
}

// TestScriptsCoverEverything fails if a command or an exit code has no script.
func TestScriptsCoverEverything(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	require.NoError(t, err)
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(b)
	}
	runs := func(pattern, what string) {
		require.True(t, regexp.MustCompile(`(?m)^(\[!?\w+\] )?`+pattern).MatchString(all.String()), "no script has %s: %s", what, pattern)
	}
	var commands func(c *cli.Command, path string)
	commands = func(c *cli.Command, path string) {
		for _, sub := range c.Commands {
			if sub.Hidden { // the manual page, which has a test of its own
				continue
			}
			if sub.Action != nil && sub.Name != "demo" { // likewise
				runs(`aspupdate \d+`+path+" "+sub.Name, "the command")
				runs(`(aspupdate \d+|exec \$PROGRAM)`+path+" "+sub.Name+".* --json", "its document")
			}
			if sub.Name != "demo" {
				commands(sub, path+" "+sub.Name)
			}
		}
	}
	commands(app(nil), "")
	for code, exit := range exitTable {
		runs(fmt.Sprintf(`aspupdate %d `, code), exit.meaning)
	}
}
