package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// properties are those of a unit that are queried.
var properties = strings.Fields("Id LoadState ActiveState SubState UnitFileState FragmentPath InvocationID NRestarts Result " +
	"ExecMainStatus ControlGroup WantedBy RequiredBy UpheldBy BoundBy ConsistsOf TriggeredBy")

// unit returns the name of a service's unit.
func unit(name string) (string, error) {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`*?[]/'"`, r) }) {
		return "", fmt.Errorf("%q is not the name of a unit; use one such as asp or asp.service", name)
	}
	if !slices.Contains([]string{".service", ".socket", ".timer", ".path", ".target"}, filepath.Ext(name)) {
		name += ".service"
	}
	return name, nil
}

// systemctl runs systemctl. Only errors use what it prints for people.
func systemctl(ctx context.Context, args ...string) (string, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return "", fmt.Errorf("systemd does not run on this machine: %w", errors.ErrUnsupported)
	}
	program, err := exec.LookPath("systemctl")
	if err != nil {
		return "", fmt.Errorf("%w: %w", err, errors.ErrUnsupported)
	}
	var out, complaint bounded
	cmd := exec.CommandContext(ctx, program, append([]string{"--no-ask-password", "--no-pager", "--quiet"}, args...)...)
	cmd.Env = append(process.BaseEnv(), "LC_ALL=C")
	for _, name := range []string{"DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} { // where systemd is
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = process.OwnGroup()
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(complaint.String())
		return "", fmt.Errorf("systemctl %s: %w: %s", args[0], err, text[:min(len(text), 500)])
	}
	return out.String(), nil
}

// bounded keeps the first bytes that are written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), max(0, 256<<10-b.Len()))])
	return len(p), nil
}

// show returns the properties of units, in the order of the names.
func show(ctx context.Context, names ...string) ([]map[string]string, error) {
	out, err := systemctl(ctx, slices.Concat([]string{"show", "--property=" + strings.Join(properties, ","), "--"}, names)...)
	if err != nil {
		return nil, err
	}
	all := parseShow(out)
	if len(all) != len(names) {
		return nil, fmt.Errorf("systemctl show printed %d units instead of %d", len(all), len(names))
	}
	return all, nil
}

// parseShow reads lines of the form Key=value, with an empty line between
// two units.
func parseShow(out string) []map[string]string {
	var all []map[string]string
	for block := range strings.SplitSeq(strings.TrimSpace(out), "\n\n") {
		p := map[string]string{}
		for line := range strings.Lines(block) {
			if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
				p[key] = value
			}
		}
		all = append(all, p)
	}
	return all
}

func query(ctx context.Context, name string) (Status, error) {
	name, err := unit(name)
	if err != nil {
		return Status{}, err
	}
	all, err := show(ctx, name)
	if err != nil {
		return Status{}, err
	}
	p := all[0]
	active, sub := p["ActiveState"], p["SubState"]
	st := Status{
		Exists:    p["LoadState"] != "not-found",
		Running:   slices.Contains([]string{"active", "activating", "reloading", "refreshing"}, active),
		changing:  slices.Contains([]string{"activating", "deactivating", "maintenance"}, active),
		State:     fmt.Sprintf("%s (%s), %s", active, sub, p["UnitFileState"]),
		exit:      fmt.Sprintf("result %s, exit status %s", p["Result"], p["ExecMainStatus"]),
		run:       p["InvocationID"] + "/" + p["NRestarts"],
		Autostart: p["UnitFileState"],
		root:      p["ControlGroup"],
	}
	switch {
	case !st.Exists:
		st.State = "not found"
		// A unit whose file was removed runs until it is stopped.
		if active == "active" {
			st.Exists, st.cannot = true, "the service runs, and its unit file is gone"
		}
	case p["Id"] != name:
		st.cannot = fmt.Sprintf("the name is an alias of %s: use that name", p["Id"])
	case strings.HasPrefix(p["LoadState"], "masked") && st.Running:
		st.cannot = "the service runs and is masked, so that it could not be started again: stop or unmask it"
	case strings.HasPrefix(st.Autostart, "enabled") && linked(p["FragmentPath"]):
		st.cannot = fmt.Sprintf("disabling the unit would remove the link %s by which systemd finds it: put the unit's file itself there", p["FragmentPath"])
	case st.Autostart == "transient" && st.Running:
		st.cannot = "the unit is transient, so that it could not be started again: stop it"
	}
	return st, nil
}

// links lists the units whose directories of links hold the unit. systemctl
// show leaves out those that are not loaded.
func links(ctx context.Context, name string) (wantedBy, requiredBy []string, err error) {
	name, err = unit(name)
	if err != nil {
		return nil, nil, err
	}
	out, err := systemctl(ctx, "show", "--property=UnitPath", "--value")
	if err != nil {
		return nil, nil, err
	}
	in := func(kind string) (list []string) {
		for _, dir := range strings.Fields(out) {
			found, _ := filepath.Glob(filepath.Join(dir, "*."+kind, name)) // the pattern is valid
			for _, link := range found {
				list = append(list, strings.TrimSuffix(filepath.Base(filepath.Dir(link)), "."+kind))
			}
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	return in("wants"), in("requires"), nil
}

// linked reports whether a unit file is a link to a file elsewhere.
func linked(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode()&os.ModeSymlink != 0
}

// dependents lists the units that would be stopped with it, and those that
// would start it again.
func dependents(ctx context.Context, name string) ([]string, error) {
	return others(ctx, name, []string{"RequiredBy", "BoundBy", "ConsistsOf", "TriggeredBy"}, func(p map[string]string) bool {
		return slices.Contains([]string{"active", "activating", "reloading"}, p["ActiveState"])
	})
}

// starters lists the units that would start it with the machine.
func starters(ctx context.Context, name string) ([]string, error) {
	return others(ctx, name, []string{"WantedBy", "RequiredBy", "UpheldBy", "BoundBy", "TriggeredBy"}, func(p map[string]string) bool {
		switch p["UnitFileState"] {
		case "disabled", "masked", "masked-runtime":
			return false
		case "static":
			return strings.HasSuffix(p["Id"], ".target") || p["WantedBy"]+p["RequiredBy"]+p["TriggeredBy"]+p["UpheldBy"] != ""
		}
		return true
	})
}

// others lists the units in the relations for which is returns true.
func others(ctx context.Context, name string, relations []string, is func(map[string]string) bool) ([]string, error) {
	name, err := unit(name)
	if err != nil {
		return nil, err
	}
	all, err := show(ctx, name)
	if err != nil {
		return nil, err
	}
	var names, list []string
	for _, r := range relations {
		names = append(names, strings.Fields(all[0][r])...)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil, nil
	}
	if all, err = show(ctx, names...); err != nil {
		return nil, err
	}
	for i, p := range all {
		if is(p) {
			list = append(list, names[i])
		}
	}
	return list, nil
}

// runtimeOnly returns the option for what lasts until the machine's next start.
func runtimeOnly(autostart string) []string {
	if strings.HasSuffix(autostart, "-runtime") {
		return []string{"--runtime"}
	}
	return nil
}

func enabled(autostart string) bool { return strings.HasPrefix(autostart, "enabled") }
func masked(autostart string) bool  { return strings.HasPrefix(autostart, "masked") }

// change runs systemctl's verb for the unit and its way to start.
func change(ctx context.Context, name, verb, autostart string, more ...string) error {
	name, err := unit(name)
	if err != nil {
		return err
	}
	_, err = systemctl(ctx, slices.Concat([]string{verb}, runtimeOnly(autostart), []string{"--"}, more, []string{name})...)
	return err
}

func autostartOff(ctx context.Context, name string, st Status) error {
	if !enabled(st.Autostart) {
		return nil
	}
	return change(ctx, name, "disable", st.Autostart)
}

func autostartAs(ctx context.Context, name string, f found) error {
	st, err := query(ctx, name)
	if err != nil {
		return err
	}
	if masked(st.Autostart) && st.Autostart != f.Autostart {
		err = errors.Join(err, change(ctx, name, "unmask", st.Autostart))
	}
	if enabled(st.Autostart) && st.Autostart != f.Autostart {
		err = errors.Join(err, change(ctx, name, "disable", st.Autostart))
	}
	switch {
	case err != nil:
		return err
	case masked(f.Autostart):
		err = change(ctx, name, "mask", f.Autostart)
	case enabled(f.Autostart):
		err = change(ctx, name, "enable", f.Autostart)
	}
	if err != nil {
		return err
	}
	// Links that a person added, and no [Install] section names.
	wanted, required, err := links(ctx, name)
	if err != nil {
		return err
	}
	for verb, lists := range map[string][2][]string{"add-wants": {f.WantedBy, wanted}, "add-requires": {f.RequiredBy, required}} {
		for _, by := range lists[0] {
			if !slices.Contains(lists[1], by) && enabled(f.Autostart) {
				if err := change(ctx, name, verb, f.Autostart, by); err != nil {
					return err
				}
			}
		}
	}
	if st, err = query(ctx, name); err == nil && st.Autostart != f.Autostart {
		err = fmt.Errorf("the autostart was %s and is %s", f.Autostart, st.Autostart)
	}
	return err
}

// autostartOn enables a unit.
func autostartOn(ctx context.Context, name string) error {
	st, err := query(ctx, name)
	if err == nil && masked(st.Autostart) {
		err = change(ctx, name, "unmask", st.Autostart)
	}
	if err == nil && !enabled(st.Autostart) {
		err = change(ctx, name, "enable", "")
	}
	return err
}

func stop(ctx context.Context, name string) error { return change(ctx, name, "stop", "") }

func start(ctx context.Context, name string) error {
	st, err := query(ctx, name)
	if err != nil {
		return err
	}
	if strings.HasPrefix(st.State, "failed") { // it may have been started too often
		if err := change(ctx, name, "reset-failed", ""); err != nil {
			return err
		}
	}
	err = change(ctx, name, "start", "")
	if err != nil && ctx.Err() == nil {
		if st, queryErr := query(ctx, name); queryErr == nil {
			return fmt.Errorf("%w: %s (%w)", ErrNotRunning, st.exit, err)
		}
	}
	return err
}

// members returns the unit's control group: it holds everything that the unit started.
func members(st Status) []string {
	if st.root == "" || st.root == "/" {
		return nil
	}
	return []string{st.root}
}

// alive lists the processes in control groups and in those below them.
func alive(groups []string) ([]string, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, file := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		b, err := os.ReadFile(file)
		if _, living := process.Lookup(pid); err != nil || !living {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(f) < 3 || f[1] != "" && f[1] != "name=systemd" {
				continue
			}
			if slices.ContainsFunc(groups, func(g string) bool { return f[2] == g || strings.HasPrefix(f[2], g+"/") }) {
				list = append(list, "process "+strconv.Itoa(pid))
				break
			}
		}
	}
	return list, nil
}
