package units

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/aspupdate/aspupdate/internal/codepage"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/process"
)

// Tasks is the Task Scheduler of Windows. What it has is read from its directory, since what
// schtasks prints depends on the language of Windows.
type Tasks struct {
	Dir        string // %SystemRoot%\System32\Tasks
	Temp       string // %SystemRoot%\Temp: in that of an account it could exchange what SYSTEM is to run
	Schtasks   []string
	PowerShell []string
}

// A task is the definition of one, as far as it is ours. What has its default value is left out: the
// Task Scheduler does so, too.
type task struct {
	XMLName     xml.Name   `xml:"http://schemas.microsoft.com/windows/2004/02/mit/task Task"`
	Version     string     `xml:"version,attr"`
	Source      string     `xml:"RegistrationInfo>Source"`
	Description string     `xml:"RegistrationInfo>Description"`
	Boot        *struct{}  `xml:"Triggers>BootTrigger"`
	Calendars   []calendar `xml:"Triggers>CalendarTrigger"`
	Principal   principal  `xml:"Principals>Principal"`
	Settings    settings   `xml:"Settings"`
	Actions     actions    `xml:"Actions"`
}

type calendar struct {
	Repetition *repetition `xml:"Repetition"`
	Start      string      `xml:"StartBoundary"`
	Daily      *int        `xml:"ScheduleByDay>DaysInterval"`
	Weekly     *weekly     `xml:"ScheduleByWeek"`
	Monthly    *monthly    `xml:"ScheduleByMonth"`
}

type repetition struct {
	Interval string `xml:"Interval"`
	Duration string `xml:"Duration"`
}

type weekly struct {
	Weeks int  `xml:"WeeksInterval"`
	Days  days `xml:"DaysOfWeek"`
}

type monthly struct {
	Day    int    `xml:"DaysOfMonth>Day"`
	Months months `xml:"Months"`
}

// days and months are lists of empty elements.
type (
	days struct {
		Names []flagged `xml:",any"`
	}
	months struct {
		Names []flagged `xml:",any"`
	}
	flagged struct{ XMLName xml.Name }
)

type principal struct {
	ID    string `xml:"id,attr"`
	User  string `xml:"UserId"`
	Logon string `xml:"LogonType,omitempty"`
	Level string `xml:"RunLevel,omitempty"`
}

type settings struct {
	OnBattery bool     `xml:"DisallowStartIfOnBatteries"`
	EndOn     bool     `xml:"StopIfGoingOnBatteries"`
	CatchUp   string   `xml:"StartWhenAvailable,omitempty"`
	Limit     string   `xml:"ExecutionTimeLimit"`
	Priority  int      `xml:"Priority,omitempty"`
	Restart   *restart `xml:"RestartOnFailure"`
}

type restart struct {
	Interval string `xml:"Interval"`
	Count    int    `xml:"Count"`
}

type actions struct {
	Context   string `xml:"Context,attr"`
	Command   string `xml:"Exec>Command"`
	Arguments string `xml:"Exec>Arguments"`
}

const (
	system   = "S-1-5-18"
	taskMark = "aspupdate service install, SHA-256 of the rest: "
)

// Units returns the tasks of the jobs.
func (t *Tasks) Units(list []Job, m Machine) (units []Unit, err error) {
	for _, path := range []string{m.Program, m.Config, m.WatchConfig} {
		if strings.ContainsAny(path, "%\"") {
			return nil, fmt.Errorf("invalid path %q: the Task Scheduler takes %% for the begin of a variable", path)
		}
	}
	for _, j := range list {
		config := m.Config
		one := task{
			Version: "1.2", Description: j.Description,
			Principal: principal{ID: "Author", User: system, Level: "HighestAvailable"},
			Settings:  settings{Limit: "PT12H"},
		}
		if j.Short { // it ends by itself, or never
			one.Settings.Limit = "PT0S"
		} else {
			one.Settings.Priority = 9
		}
		if j.CatchUp {
			one.Settings.CatchUp = "true"
		}
		if j.Watches {
			config, one.Principal = m.WatchConfig, principal{ID: "Author", User: m.Account}
			one.Settings.Restart = &restart{"PT5M", 255}
			if strings.HasSuffix(m.Account, "$") {
				one.Principal.Logon = "Password" // Windows has that of a managed account
			}
		}
		if len(j.Times) == 0 {
			one.Boot = &struct{}{}
		}
		for _, at := range j.Times {
			one.Calendars = append(one.Calendars, at.trigger())
		}
		command, more, _ := strings.Cut(j.Command, " --")
		if more != "" {
			more = " --" + more
		}
		one.Actions = actions{"Author", m.Program, command + ` --config "` + config + `"` + more}
		units = append(units, Unit{Name: "aspupdate-" + j.Name, Text: one.marked(), Job: j.Name})
	}
	return units, nil
}

// marked returns the text of a task with the hash of itself.
func (t task) marked() string {
	t.Source = ""
	t.Source = taskMark + sum(t.text())
	return t.text()
}

func (t task) text() string {
	text, _ := xml.MarshalIndent(t, "", "  ") // nothing in it can fail
	return string(text) + "\n"
}

// trigger returns the trigger of a time. A start with a zone is the same moment in each zone.
func (t Time) trigger() calendar {
	c := calendar{Start: fmt.Sprintf("2026-01-01T%02d:%02d:00", t.Hour, t.Minute)}
	list := t.Days
	one := 1
	switch {
	case t.Hourly:
		c.Daily, c.Repetition = &one, &repetition{"PT1H", "P1D"}
		return c
	case t.Day > 0:
		c.Monthly = &monthly{Day: t.Day}
		for m := time.January; m <= time.December; m++ {
			c.Monthly.Months.Names = append(c.Monthly.Months.Names, flagged{xml.Name{Local: m.String()}})
		}
		return c
	case len(list) > 0:
		c.Start += "+03:00"
	default:
		list = []time.Weekday{t.Weekday}
	}
	c.Weekly = &weekly{Weeks: 1}
	for _, d := range list {
		c.Weekly.Days.Names = append(c.Weekly.Days.Names, flagged{xml.Name{Local: d.String()}})
	}
	return c
}

func (t *Tasks) names() (all []string) {
	for _, j := range jobs(nil) {
		all = append(all, "aspupdate-"+j.Name)
	}
	return all
}

// file returns what the Task Scheduler has under a name: installed, changed, missing or foreign.
func (t *Tasks) file(name string) (text, state string, err error) {
	data, err := os.ReadFile(filepath.Join(t.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "missing", nil
	}
	if err == nil {
		data, _, err = transform.Bytes(unicode.BOMOverride(unicode.UTF8.NewDecoder()), data)
	}
	if err != nil {
		return "", "foreign", err
	}
	var one task
	decoder := xml.NewDecoder(strings.NewReader(string(data)))
	decoder.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // it is UTF-8 by now
	switch readable := decoder.Decode(&one) == nil; {
	case !readable || !strings.HasPrefix(one.Source, taskMark):
		return "", "foreign", nil
	case one.plain().marked() != one.plain().text():
		return "", "changed", nil
	}
	return one.plain().text(), "installed", nil
}

// plain returns a task that was read without the namespaces that reading adds to its names.
func (t task) plain() task {
	t.XMLName = xml.Name{}
	for _, c := range t.Calendars {
		var names []flagged
		if c.Weekly != nil {
			names = c.Weekly.Days.Names
		} else if c.Monthly != nil {
			names = c.Monthly.Months.Names
		}
		for i := range names {
			names[i].XMLName.Space = ""
		}
	}
	return t
}

// run runs one of the programs of Windows.
func run(ctx context.Context, program []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program[0], slices.Concat(program[1:], args)...)
	cmd.Env = process.BaseEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(program[0]), err, strings.TrimSpace(codepage.Decode(nil, out)))
	}
	return string(out), err
}

// allowed returns why the tasks must not be changed, unless they are missing or ours.
func (t *Tasks) allowed(names []string, replace, installs bool) error {
	var errs []error
	for _, name := range names {
		_, state, err := t.file(name)
		switch {
		case err != nil:
			errs = append(errs, err)
		case state == "foreign" && installs:
			errs = append(errs, fmt.Errorf("task %s: %w: rename it, then repeat", name, ErrForeign))
		case state == "changed" && !replace:
			errs = append(errs, fmt.Errorf("task %s: %w: keep what you need of it, then repeat with --replace", name, ErrChanged))
		}
	}
	return errors.Join(errs...)
}

// Install implements [Manager]. Repeated after a kill, it finishes what was begun.
func (t *Tasks) Install(ctx context.Context, units []Unit, replace bool) (done []State, err error) {
	names := namesOf(units)
	if byHand, _ := filepath.Glob(filepath.Join(t.Dir, "aspupdate", "*")); len(byHand) > 0 { // as earlier manuals had them
		return nil, fmt.Errorf("task aspupdate\\%s: %w: delete the tasks beside it too, then repeat", filepath.Base(byHand[0]), ErrForeign)
	}
	if err := t.allowed(t.names(), replace, true); err != nil {
		return nil, err
	}
	dir := filepath.Join(t.Temp, "aspupdate-tasks-"+rand.Text())
	if err := private.Mkdir(dir); err != nil { // what is in it, SYSTEM runs
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ran, answered := t.ran(ctx)
	for _, u := range units {
		text, _, err := t.file(u.Name)
		if err != nil {
			return done, err
		}
		if st, known := ran[u.Name]; text == u.Text && (!answered || known && st.Enabled) {
			continue
		}
		file := filepath.Join(dir, u.Name+".xml")
		utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(`<?xml version="1.0" encoding="UTF-16"?>` + "\n" + u.Text)
		if err == nil {
			err = os.WriteFile(file, []byte(utf16), 0o600)
		}
		if err == nil {
			_, err = run(ctx, t.Schtasks, "/Create", "/F", "/TN", u.Name, "/XML", file)
		}
		if err == nil && u.Job == "watch" { // also one that runs as it was before
			_, _ = run(ctx, t.Schtasks, "/End", "/TN", u.Name) // one that does not run is an error
			_, err = run(ctx, t.Schtasks, "/Run", "/TN", u.Name)
		}
		if err != nil {
			return done, err
		}
		done = append(done, State{Name: u.Name, State: "installed"})
	}
	gone, err := t.remove(ctx, slices.DeleteFunc(t.names(), func(name string) bool { return slices.Contains(names, name) }))
	return append(done, gone...), err
}

// Remove implements [Manager].
func (t *Tasks) Remove(ctx context.Context, replace bool) ([]State, error) {
	if err := t.allowed(t.names(), replace, false); err != nil {
		return nil, err
	}
	return t.remove(ctx, t.names())
}

func (t *Tasks) remove(ctx context.Context, names []string) (done []State, err error) {
	if err := t.idle(ctx, names); err != nil {
		return nil, err
	}
	for _, name := range names {
		switch _, state, err := t.file(name); {
		case err != nil:
			return done, err
		case state == "foreign":
			done = append(done, State{Name: name, State: "foreign"})
			continue
		case state == "missing":
			continue
		}
		if !slices.Contains(updating, name) { // these are never ended
			_, _ = run(ctx, t.Schtasks, "/End", "/TN", name)
		}
		if _, err := run(ctx, t.Schtasks, "/Delete", "/F", "/TN", name); err != nil {
			return done, err
		}
		done = append(done, State{Name: name, State: "removed"})
	}
	return done, nil
}

// updating are the tasks that must not be cut short.
var updating = []string{"aspupdate-update", "aspupdate-recover"}

// idle keeps the tasks that update from starting. It fails if one runs or if that is not known, and
// then they may start again: without them an update that is cut short would stay so.
func (t *Tasks) idle(ctx context.Context, names []string) (err error) {
	var there []string
	defer func() {
		for _, name := range there {
			if err != nil {
				_, eerr := run(context.WithoutCancel(ctx), t.Schtasks, "/Change", "/TN", name, "/ENABLE")
				err = errors.Join(err, eerr)
			}
		}
	}()
	for _, name := range updating {
		_, state, err := t.file(name)
		if err != nil {
			return err
		}
		if slices.Contains(names, name) && (state == "installed" || state == "changed") {
			there = append(there, name)
			if _, err := run(ctx, t.Schtasks, "/Change", "/TN", name, "/DISABLE"); err != nil {
				return err
			}
		}
	}
	ran, answered := t.ran(ctx)
	if len(there) > 0 && !answered {
		return errors.New("PowerShell does not say whether an update is running: see that none is, and delete the tasks in the Task Scheduler")
	}
	for _, name := range there {
		if ran[name].Running {
			return fmt.Errorf("%w: wait until %s has ended, then repeat", ErrRunning, name)
		}
	}
	return nil
}

// asks prints for each task its name, state, times in UTC and last result: the same in each language.
const asks = `Get-ScheduledTask -TaskPath '\' -TaskName 'aspupdate-*' | ForEach-Object { $i = $_ | Get-ScheduledTaskInfo; ` +
	`$l = ''; if ($i.LastRunTime) { $l = $i.LastRunTime.ToUniversalTime().ToString('s') }; ` +
	`$n = ''; if ($i.NextRunTime) { $n = $i.NextRunTime.ToUniversalTime().ToString('s') }; ` +
	`$_.TaskName + ';' + [int]$_.State + ';' + $l + ';' + $n + ';' + $i.LastTaskResult }`

// Numbers of the Task Scheduler.
const (
	taskDisabled = "1"
	taskRunning  = "4"
	runsNow      = 0x41301 // SCHED_S_TASK_RUNNING
	neverRan     = 0x41303 // SCHED_S_TASK_HAS_NOT_RUN
)

// ran returns when the tasks ran and will run, and whether PowerShell has answered at all.
func (t *Tasks) ran(ctx context.Context) (all map[string]State, answered bool) {
	all = map[string]State{}
	out, err := run(ctx, t.PowerShell, "-NoProfile", "-NonInteractive", "-Command", asks)
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ";")
		if len(f) != 5 {
			continue
		}
		code, _ := strconv.ParseUint(f[4], 10, 32)
		st := State{Enabled: f[1] != taskDisabled, Running: f[1] == taskRunning, Code: int(code)}
		st.Next, _ = time.Parse("2006-01-02T15:04:05", f[3])
		if code == neverRan {
			st.Code = 0
		} else {
			st.Last, _ = time.Parse("2006-01-02T15:04:05", f[2])
		}
		if st.Result = "success"; code == runsNow || st.Last.IsZero() {
			st.Result, st.Code = "", 0
		} else if code != 0 && code != 3 && code != 4 && code != 7 { // nothing to do, not now, somebody else works
			st.Result = "exit-code"
		}
		all[f[0]] = st
	}
	return all, err == nil
}

// Status implements [Manager].
func (t *Tasks) Status(ctx context.Context, units []Unit) (list []State, err error) {
	ran, answered := t.ran(ctx)
	for _, name := range t.names() {
		text, state, err := t.file(name)
		if err != nil {
			return nil, err
		}
		if state = compared(units, name, text, state); state == "" {
			continue
		}
		st, known := ran[name]
		switch {
		case state != "installed" || !answered:
		case !known: // a file alone is no task
			state = "missing"
		case !st.Enabled:
			state = "disabled"
		case name == "aspupdate-watch" && !st.Running:
			state = "stopped"
		}
		st.Name, st.State = name, state
		st.Enabled = st.Enabled || !known && state != "missing"
		list = append(list, st)
	}
	return list, nil
}
