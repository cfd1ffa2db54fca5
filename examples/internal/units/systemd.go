package units

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/process"
)

//go:embed systemd
var texts embed.FS

// Systemd is the service manager of Linux.
type Systemd struct {
	Dir string // /etc/systemd/system
}

// mark begins the first line of a unit of ours. The hash of the other lines follows.
const mark = "# Written by aspupdate service install; put changes into a drop-in (systemctl edit). SHA-256 of the rest: "

// Units returns the units of the jobs.
func (s *Systemd) Units(list []Job, m Machine) (units []Unit, err error) {
	for _, path := range []string{m.Program, m.Config, m.WatchConfig} {
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || strings.ContainsRune("\"'\\\x7f", r) }) {
			return nil, fmt.Errorf("invalid path %q: systemd takes no quotes, backslashes and line breaks in it", path)
		}
	}
	t := template.Must(template.New("").Funcs(template.FuncMap{"quote": quote}).ParseFS(texts, "systemd/*"))
	for _, j := range list {
		base := "aspupdate-" + j.Name
		if j.Name == "update" {
			base = "aspupdate"
		}
		config, names, kind := m.Config, m.Credentials, "task.service"
		if j.Watches {
			config, names = m.WatchConfig, m.WatchCredentials
		}
		if j.Short {
			kind = j.Name + ".service"
		}
		var credentials, calendars []string
		for _, name := range names {
			credentials = append(credentials, name+":"+strings.ReplaceAll(filepath.Join(filepath.Dir(config), name), "%", "%%"))
		}
		for _, at := range j.Times {
			calendars = append(calendars, at.calendar())
		}
		data := struct {
			Job
			Program, Config, Account string
			Credentials, Calendars   []string
		}{j, m.Program, config, m.Account, credentials, calendars}
		kinds := map[string]string{base + ".service": kind}
		if len(calendars) > 0 {
			kinds[base+".timer"] = "timer"
		}
		for _, ext := range []string{".service", ".timer"} {
			if kinds[base+ext] == "" {
				continue
			}
			var b strings.Builder
			if err := t.ExecuteTemplate(&b, kinds[base+ext], data); err != nil {
				return nil, err
			}
			units = append(units, Unit{Name: base + ext, Text: mark + sum(b.String()) + "\n" + b.String(), Job: j.Name})
		}
	}
	return units, nil
}

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// Body returns the text of a unit without the mark.
func Body(text string) string {
	_, body, _ := strings.Cut(text, "\n")
	return body
}

// quote writes a word as a unit has it. The first word of ExecStart and the values of Environment
// are taken as they are, but for the specifiers of systemd, which begin with %.
func quote(word string) string {
	word = strings.ReplaceAll(word, "%", "%%")
	if strings.ContainsAny(word, " ;#") {
		return `"` + word + `"`
	}
	return word
}

// calendar returns the value of OnCalendar.
func (t Time) calendar() string {
	clock := fmt.Sprintf("%02d:%02d", t.Hour, t.Minute)
	switch {
	case len(t.Days) > 0:
		days := make([]string, len(t.Days))
		for i, d := range t.Days {
			days[i] = d.String()[:3]
		}
		text := strings.Join(days, ",")
		return strings.Replace(text, "Mon,Tue,Wed,Thu,Fri", "Mon..Fri", 1) + " " + clock + " Europe/Moscow"
	case t.Hourly:
		return fmt.Sprintf("*:%02d", t.Minute)
	case t.Day > 0:
		return fmt.Sprintf("*-*-%02d %s", t.Day, clock)
	}
	return t.Weekday.String()[:3] + " " + clock
}

// names returns the names of all units that there can be.
func (s *Systemd) names() (all []string) {
	units, _ := s.Units(jobs(nil), Machine{}) // no path is invalid
	for _, u := range units {
		all = append(all, u.Name)
	}
	return all
}

// file returns what is under the name of a unit: installed, changed, missing or foreign.
func (s *Systemd) file(name string) (text, state string, err error) {
	path := filepath.Join(s.Dir, name)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "missing", nil
	}
	if err != nil || !fi.Mode().IsRegular() {
		return "", "foreign", err
	}
	data, err := os.ReadFile(path)
	first, body, _ := strings.Cut(string(data), "\n")
	hash, ours := strings.CutPrefix(first, mark)
	switch {
	case err != nil || !ours:
		state = "foreign"
	case hash == sum(body):
		state = "installed"
	default:
		state = "changed"
	}
	return string(data), state, err
}

// properties are those that are asked for.
const properties = "Id,LoadState,ActiveState,UnitFileState,FragmentPath,DropInPaths,Result,ExecMainStatus,ExecMainStartTimestamp,LastTriggerUSec,NextElapseUSecRealtime"

// show returns the properties of units, by name.
func (s *Systemd) show(ctx context.Context, names []string) (map[string]map[string]string, error) {
	out, err := systemctl(ctx, append([]string{"show", "--property=" + properties, "--"}, names...)...)
	all := map[string]map[string]string{}
	for block := range strings.SplitSeq(strings.TrimSpace(out), "\n\n") {
		p := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			p[key] = value
		}
		all[p["Id"]] = p
	}
	return all, err
}

func systemctl(ctx context.Context, args ...string) (string, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return "", fmt.Errorf("systemd does not run on this machine: %w", errors.ErrUnsupported)
	}
	cmd := exec.CommandContext(ctx, "systemctl", append([]string{"--no-ask-password", "--no-pager"}, args...)...)
	cmd.Env = append(process.BaseEnv(), "LC_ALL=C", "TZ=UTC")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), err
}

// Install implements [Manager]. Repeated after a kill, it finishes what was begun.
func (s *Systemd) Install(ctx context.Context, units []Unit, replace bool) (done []State, err error) {
	if err := s.allowed(ctx, units, replace); err != nil {
		return nil, err
	}
	var enable, start, restart []string
	for _, u := range units {
		s.tidy(u.Name)
		text, state, err := s.file(u.Name)
		if err != nil {
			return done, err
		}
		if text != u.Text {
			if err := durable.WriteFile(filepath.Join(s.Dir, u.Name), []byte(u.Text), 0o644); err != nil {
				return done, err
			}
			done = append(done, State{Name: u.Name, State: "installed"})
		}
		switch {
		case u.Job == "watch":
			start = append(start, u.Name)
			if state != "missing" && text != u.Text {
				restart = append(restart, u.Name)
			}
		case filepath.Ext(u.Name) == ".timer":
			start = append(start, u.Name)
		case u.Job == "recover": // at the next start of the machine
			enable = append(enable, u.Name)
		}
	}
	unneeded := slices.DeleteFunc(s.names(), func(name string) bool {
		return slices.ContainsFunc(units, func(u Unit) bool { return u.Name == name })
	})
	gone, err := s.remove(ctx, unneeded, replace)
	done = append(done, gone...)
	if err == nil {
		_, err = systemctl(ctx, "daemon-reload")
	}
	if err == nil {
		err = s.accepted(ctx, units)
	}
	for _, args := range [][]string{append([]string{"enable"}, enable...), append([]string{"enable", "--now"}, start...), append([]string{"restart"}, restart...)} {
		if err == nil && !strings.HasPrefix(args[len(args)-1], "-") && len(args) > 1 {
			_, err = systemctl(ctx, args...)
		}
	}
	return done, err
}

// accepted returns which units systemd cannot read, such as a time zone that the machine does not know.
func (s *Systemd) accepted(ctx context.Context, units []Unit) error {
	loaded, err := s.show(ctx, namesOf(units))
	errs := []error{err}
	for _, u := range units {
		if p := loaded[u.Name]; err == nil && p["LoadState"] != "loaded" {
			errs = append(errs, fmt.Errorf("%s: systemd cannot read it (%s); systemd-analyze verify %s shows why", u.Name, p["LoadState"], u.Name))
		}
	}
	return errors.Join(errs...)
}

func namesOf(units []Unit) (names []string) {
	for _, u := range units {
		names = append(names, u.Name)
	}
	return names
}

// allowed returns why units must not be written: something foreign has the name of one.
func (s *Systemd) allowed(ctx context.Context, units []Unit, replace bool) error {
	wanted := namesOf(units)
	loaded, err := s.show(ctx, wanted)
	if err != nil {
		return err
	}
	if err := s.credentials(ctx, units); err != nil {
		return err
	}
	var errs []error
	for _, name := range s.names() {
		path := filepath.Join(s.Dir, name)
		_, state, err := s.file(name)
		if !slices.Contains(wanted, name) && state == "foreign" {
			continue // it is left alone
		}
		if at := loaded[name]["FragmentPath"]; state == "missing" && at != "" && at != path {
			path, state = at, "foreign"
		}
		switch {
		case err != nil:
			errs = append(errs, err)
		case state == "foreign":
			errs = append(errs, fmt.Errorf("%s: %w: move it away, then repeat", path, ErrForeign))
		case state == "changed" && !replace:
			errs = append(errs, fmt.Errorf("%s: %w: move the change into a drop-in (systemctl edit %s), then repeat with --replace", path, ErrChanged, name))
		}
	}
	return errors.Join(errs...)
}

// credentials fails if units have some and systemd is older than they are.
func (s *Systemd) credentials(ctx context.Context, units []Unit) error {
	if !slices.ContainsFunc(units, func(u Unit) bool { return strings.Contains(u.Text, "\nLoadCredential=") }) {
		return nil
	}
	out, err := systemctl(ctx, "show", "--property=Version", "--value")
	version, cerr := strconv.Atoi(strings.TrimSpace(regexp.MustCompile(`^\d*`).FindString(out)))
	if err == nil && cerr == nil && version < 247 {
		err = fmt.Errorf("systemd %d hands over no credentials: name the secrets' files by their paths, with mode 0600: %w", version, errors.ErrUnsupported)
	}
	return err
}

// Remove implements [Manager].
func (s *Systemd) Remove(ctx context.Context, replace bool) ([]State, error) {
	done, err := s.remove(ctx, s.names(), replace)
	if err == nil {
		_, err = systemctl(ctx, "daemon-reload")
	}
	return done, err
}

// remove stops and removes those of the units that are ours. What is foreign stays. The files go
// last: as long as one is there, a repetition finds what is left to do.
func (s *Systemd) remove(ctx context.Context, names []string, replace bool) (done []State, err error) {
	loaded, err := s.show(ctx, names)
	if err != nil {
		return nil, err
	}
	var ours []string
	for _, name := range names {
		_, state, err := s.file(name)
		busy := loaded[name]["ActiveState"] == "activating" && strings.HasSuffix(name, ".service")
		switch {
		case err != nil:
			return nil, err
		case state == "foreign":
			done = append(done, State{Name: name, State: "foreign"})
			continue
		case state == "changed" && !replace:
			return nil, fmt.Errorf("%s: %w: keep what you need of it, then repeat with --replace", filepath.Join(s.Dir, name), ErrChanged)
		case state != "missing" && busy && (name == "aspupdate.service" || name == "aspupdate-recover.service"):
			return nil, fmt.Errorf("%w: wait until %s has ended, then repeat", ErrRunning, name)
		case state != "missing":
			ours = append(ours, name)
		}
		defer s.tidy(name)
	}
	if len(ours) == 0 {
		return done, nil
	}
	if _, err = systemctl(ctx, append([]string{"disable", "--now"}, ours...)...); err != nil {
		return done, err
	}
	for _, name := range ours {
		if filepath.Ext(name) == ".timer" { // systemctl clean exists from version 243 on, and fails for many reasons
			if err := os.Remove(stamps + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return done, err
			}
		}
		_, _ = systemctl(ctx, "reset-failed", name) // one that has not failed is an error
	}
	for _, name := range ours {
		if err := durable.Remove(filepath.Join(s.Dir, name)); err != nil {
			return done, err
		}
		done = append(done, State{Name: name, State: "removed"})
	}
	return done, nil
}

// stamps is how the files begin in which systemd keeps when a timer ran last.
const stamps = "/var/lib/systemd/timers/stamp-"

// tidy removes what a kill or a hand left of a unit: half written files, and links that lead
// nowhere.
func (s *Systemd) tidy(name string) {
	path := filepath.Join(s.Dir, name)
	left, _ := filepath.Glob(filepath.Join(s.Dir, "."+name+".tmp-*")) // the patterns are valid
	links, _ := filepath.Glob(filepath.Join(s.Dir, "*.wants", name))
	_, missing := os.Lstat(path)
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == path && missing != nil {
			left = append(left, link)
		}
	}
	for _, file := range left {
		_ = os.Remove(file)
		_ = os.Remove(filepath.Dir(file)) // fails unless it is an empty directory of links
	}
}

// Status implements [Manager].
func (s *Systemd) Status(ctx context.Context, units []Unit) (list []State, err error) {
	names := s.names()
	loaded, err := s.show(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, state, err := s.file(name)
		if err != nil {
			return nil, err
		}
		if state = compared(units, name, text, state); state == "" {
			continue
		}
		p := loaded[name]
		code, _ := strconv.Atoi(p["ExecMainStatus"])
		st := State{
			Name: name, State: state, Enabled: p["UnitFileState"] == "enabled", Running: p["ActiveState"] == "active" || p["ActiveState"] == "activating",
			Dropins: p["DropInPaths"], Last: at(p["ExecMainStartTimestamp"]), Next: at(p["NextElapseUSecRealtime"]), Code: code,
		}
		switch {
		case st.State != "installed":
		case strings.Contains(text, "\n[Install]\n") && !st.Enabled:
			st.State = "disabled"
		case !st.Running && (filepath.Ext(name) == ".timer" || name == "aspupdate-watch.service"):
			st.State = "stopped"
		}
		if filepath.Ext(name) == ".timer" { // or when it was installed
			st.Last = at(p["LastTriggerUSec"])
		} else if !st.Last.IsZero() {
			st.Result = p["Result"]
		}
		list = append(list, st)
	}
	return list, nil
}

// at reads a time as systemctl prints it, zero if there is none.
func at(text string) time.Time {
	t, _ := time.Parse("Mon 2006-01-02 15:04:05 MST", text)
	return t
}
