package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/examples/internal/units"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/schedule"
)

// A serviceDoc says what the system starts of this program.
type serviceDoc struct {
	Schema string        `json:"schema"` // aspupdate.service/1
	Did    string        `json:"did"`    // install, remove, status or print
	Units  []units.State `json:"units"`
	Texts  []units.Unit  `json:"texts,omitempty"` // of print
	Notes  []string      `json:"notes,omitempty"`
}

// serviceManager returns the manager of this machine.
func serviceManager() (units.Manager, error) {
	switch runtime.GOOS {
	case "linux":
		return &units.Systemd{Dir: "/etc/systemd/system"}, nil
	case "windows":
		dir := filepath.Join(os.Getenv("SystemRoot"), "System32")
		return &units.Tasks{
			Dir: filepath.Join(dir, "Tasks"), Temp: filepath.Join(os.Getenv("SystemRoot"), "Temp"), Schtasks: []string{filepath.Join(dir, "schtasks.exe")},
			PowerShell: []string{filepath.Join(dir, "WindowsPowerShell", "v1.0", "powershell.exe")},
		}, nil
	}
	return nil, fmt.Errorf("services of %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// wantedUnits returns what the configuration needs. Program and configuration must be
// such that no other account can change what root runs.
func wantedUnits(manager units.Manager, cmd *cli.Command) (list []units.Unit, notes []string, err error) {
	m := units.Machine{Account: cmp.Or(cmd.String("account"), "aspupdate")}
	if runtime.GOOS == "windows" {
		m.Account = cmp.Or(cmd.String("account"), "S-1-5-19") // LOCAL SERVICE
	}
	if m.Program, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	if m.Config, err = filepath.Abs(cmd.String("config")); err != nil {
		return nil, nil, err
	}
	if err := runByTheSystem(m.Program, m.Config); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", site.ErrConfig, err)
	}
	config, err := loadAsUnit(m.Config)
	if err != nil {
		return nil, nil, err
	}
	m.Credentials = config.Credentials()
	if m.WatchConfig, err = watchConfig(cmd, m.Config); err != nil {
		return nil, nil, err
	}
	switch {
	case m.WatchConfig == "":
		notes = append(notes, "nothing watches for releases: there is no configuration for that, see OPERATIONS.md and --watch")
	case runtime.GOOS != "windows": // there it belongs to the account
		watches, err := loadAsUnit(m.WatchConfig)
		if err != nil {
			return nil, nil, err
		}
		if _, err := user.Lookup(m.Account); err != nil {
			return nil, nil, fmt.Errorf("%w: the account that watches: %w; make it with: useradd --system --shell /usr/sbin/nologin %s", site.ErrConfig, err, m.Account)
		}
		m.WatchCredentials = watches.Credentials()
	}
	needs := units.Needs{
		Data: config.BacksUp(), Copies: config.HasCopies(), Watch: m.WatchConfig != "",
		Updates: updateTimes(config.Starts(time.Now()), config.Window.WorkingSaturdays),
	}
	list, err = manager.Units(units.Jobs(needs), m)
	if err != nil {
		err = fmt.Errorf("%w: %w", site.ErrConfig, err)
	}
	return list, notes, err
}

// runByTheSystem fails if another account can change the program or the configuration, now or once a
// program in a directory like /tmp has been tidied away.
func runByTheSystem(program, config string) error {
	for _, path := range []string{program, config} {
		if err := private.CheckSystem(path); err != nil {
			return err
		}
	}
	if runtime.GOOS == "windows" { // where everyone may make directories in that of a volume
		return nil
	}
	for dir := filepath.Dir(program); ; dir = filepath.Dir(dir) {
		if err := private.CheckSystem(dir); err != nil {
			return err
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// watchConfig returns the configuration of the account that watches, "" if there is none.
func watchConfig(cmd *cli.Command, config string) (string, error) {
	if file := cmd.String("watch"); file != "" {
		file, err := filepath.Abs(file)
		if err == nil {
			_, err = os.Stat(file)
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", site.ErrConfig, err)
		}
		return file, err
	}
	dir := filepath.Dir(config)
	if runtime.GOOS == "windows" {
		dir += "-watch"
	}
	file := filepath.Join(dir, "watch.toml")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || file == config {
		return "", nil
	}
	return file, nil
}

// loadAsUnit loads a configuration in the environment that a unit has: credentials are
// expected beside the configuration, and the variables of this shell do not count. Those of
// the machine do on Windows, where they cannot be distinguished.
func loadAsUnit(file string) (*site.Config, error) {
	if runtime.GOOS != "windows" {
		base := process.BaseEnv()
		os.Clearenv()
		for _, kv := range base {
			name, value, _ := strings.Cut(kv, "=")
			_ = os.Setenv(name, value)
		}
		_ = os.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(file))
	}
	c, err := site.Load(file)
	if err != nil {
		err = fmt.Errorf("as a unit would load it, without the variables of this shell: %w", err)
	}
	return c, err
}

// updateTimes returns when an update is tried: five minutes after the begin of the
// slots that there are, on each day of the week.
func updateTimes(slots []schedule.Slot, saturdays bool) (times []units.Time) {
	for _, s := range slots {
		at := s.Start.Add(5 * time.Minute)
		if at.After(s.LatestStart) {
			at = s.LatestStart
		}
		at = at.In(schedule.MSK(0))
		i := slices.IndexFunc(times, func(t units.Time) bool { return t.Hour == at.Hour() && t.Minute == at.Minute() })
		if i < 0 {
			i, times = len(times), append(times, units.Time{Hour: at.Hour(), Minute: at.Minute()})
		}
		if !slices.Contains(times[i].Days, at.Weekday()) {
			times[i].Days = append(times[i].Days, at.Weekday())
		}
	}
	for i := range times {
		for _, d := range []time.Weekday{time.Saturday, time.Sunday} { // those of a decree that is not made yet
			if saturdays && !slices.Contains(times[i].Days, d) {
				times[i].Days = append(times[i].Days, d)
			}
		}
		slices.SortFunc(times[i].Days, func(a, b time.Weekday) int { return int(a+6)%7 - int(b+6)%7 }) // from Monday on
	}
	slices.SortFunc(times, func(a, b units.Time) int { return cmp.Or(a.Hour-b.Hour, a.Minute-b.Minute) })
	return times
}

// onMachine runs a command on the manager of this machine.
func onMachine(do func(context.Context, units.Manager, *cli.Command) (serviceDoc, error)) cli.ActionFunc {
	return alone(func(ctx context.Context, show *printer, cmd *cli.Command) error {
		err := noArguments(cmd)
		var m units.Manager
		if err == nil {
			m, err = serviceManager()
		}
		if err == nil {
			var d serviceDoc
			d, err = do(ctx, m, cmd)
			d.Schema = "aspupdate.service/1"
			if err == nil || len(d.Units) > 0 {
				d.Units = append([]units.State{}, d.Units...)
				err = errors.Join(show.answer(d), err)
			}
		}
		return configured(cmd, err)
	})
}

func serviceInstall(ctx context.Context, m units.Manager, cmd *cli.Command) (d serviceDoc, err error) {
	list, notes, err := wantedUnits(m, cmd)
	d = serviceDoc{Did: "install", Notes: notes}
	if cmd.Bool("print") {
		d.Did, d.Texts = "print", list
	} else if err == nil {
		d.Units, err = m.Install(ctx, list, cmd.Bool("replace"))
	}
	return d, err
}

func serviceRemove(ctx context.Context, m units.Manager, cmd *cli.Command) (d serviceDoc, err error) {
	d.Did = "remove"
	d.Units, err = m.Remove(ctx, cmd.Bool("replace"))
	return d, err
}

// serviceStatus answers also where the configuration cannot be read. Then it is unknown what is needed.
func serviceStatus(ctx context.Context, m units.Manager, cmd *cli.Command) (d serviceDoc, err error) {
	list, notes, wrong := wantedUnits(m, cmd)
	d = serviceDoc{Did: "status", Notes: notes}
	if d.Units, err = m.Status(ctx, list); err != nil {
		return d, err
	}
	installed := slices.ContainsFunc(d.Units, func(s units.State) bool { return s.State != "missing" && s.State != "foreign" })
	switch {
	case wrong != nil:
		for i := range d.Units {
			if d.Units[i].State == "unneeded" {
				d.Units[i].State = "installed"
			}
		}
		return d, wrong
	case !installed:
		return d, fmt.Errorf("%w: nothing is installed; aspupdate service install installs what the configuration needs", site.ErrNothing)
	}
	return d, unitsInOrder(d.Units)
}

// unitsInOrder returns an error that names what is not as it should be.
func unitsInOrder(list []units.State) error {
	var errs []error
	for _, s := range list {
		switch {
		case s.State != "installed":
			errs = append(errs, fmt.Errorf("%s: %s", s.Name, s.State))
		case s.Failed():
			errs = append(errs, fmt.Errorf("%s: the last run failed: %s, exit code %d", s.Name, s.Result, s.Code))
		}
	}
	return errors.Join(errs...)
}

// print prints the texts of units as they are, so that they can be copied.
func (d serviceDoc) print(p *printer) {
	for _, u := range d.Texts {
		_, _ = io.WriteString(p.out, "# "+u.Name+"\n"+u.Text+"\n")
	}
	if d.Did == "status" && len(d.Units) > 0 {
		rows := [][]string{{"unit", "state", "last run", "result", "next run"}}
		for _, s := range d.Units {
			rows = append(rows, []string{s.Name, s.State, shownTime(p, s.Last), outcome(s), shownTime(p, s.Next)})
		}
		p.table(rows)
	} else if d.Did != "print" {
		for _, s := range d.Units {
			p.line("%s: %s", s.Name, s.State)
		}
		if len(d.Units) == 0 {
			p.line("nothing to change")
		}
	}
	for _, s := range d.Units {
		if s.Dropins != "" {
			p.line("%s is also changed by %s", s.Name, s.Dropins)
		}
	}
	for _, note := range d.Notes {
		p.line("%s", note)
	}
}

func shownTime(p *printer, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return p.Time(t)
}

// outcome says how the last run of a unit ended, or that it runs.
func outcome(s units.State) string {
	switch {
	case s.Running && filepath.Ext(s.Name) != ".timer":
		return "running"
	case s.Failed():
		return fmt.Sprintf("%s, exit code %d", s.Result, s.Code)
	case s.Result != "":
		return fmt.Sprintf("success, exit code %d", s.Code)
	}
	return "-"
}
