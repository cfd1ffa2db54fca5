package site

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/rollback/roles"
)

// An iisPool is an application pool of IIS, behind the fence. A pool that is stopped comes back when the
// Windows Process Activation Service starts anew, as after a restart of the machine, unless its autoStart is off.
// See https://learn.microsoft.com/en-us/iis/configuration/system.applicationhost/applicationpools/add/
type iisPool struct {
	iisConfig
	name  string
	found string // the file with what Stop found, which is there while it is stopped
	state string // where commands are recorded
	first bool   // it need not exist: FullSetup makes it
}

// A foundPool is what Stop found.
type foundPool struct {
	AutoStart bool `json:"auto_start"`
	Started   bool `json:"started"`
}

// iisPoll is the time between two questions whether a pool has stopped or started.
const iisPoll = 250 * time.Millisecond

// pools returns the application pools, in the order in which they are stopped.
// First is a first installation.
func (s *Site) pools(first bool) (list []iisPool) {
	for _, name := range s.Config.Application.IIS.Pools {
		sum := sha256.Sum256([]byte(strings.ToLower(name))) // the list may be changed while an update waits
		list = append(list, iisPool{s.Config.Application.IIS, name, filepath.Join(s.Config.State, "iis", fmt.Sprintf("pool-%x.json", sum[:8])), s.records(), first})
	}
	return list
}

func (p iisPool) command(args ...string) roles.Command {
	return roles.Command{Argv: append([]string{p.program()}, args...), State: p.state}
}

// run changes the pool.
func (p iisPool) run(ctx context.Context, verb string, args ...string) error {
	return p.command(append([]string{verb, "apppool", "/apppool.name:" + p.name}, args...)...).Run(ctx, nil)
}

// list returns the lines that appcmd list prints. Where nothing is found it prints nothing,
// and ends with 1.
func (p iisPool) list(ctx context.Context, args ...string) (lines []string, err error) {
	c := p.command(append([]string{"list"}, args...)...)
	c.Output = func(text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
	}
	err = c.Run(ctx, nil)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 && len(lines) == 0 {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot ask IIS about the application pool %s: %w", p.name, err)
	}
	return lines, nil
}

// exists reports whether IIS has the pool. The error says that it must.
func (p iisPool) exists(ctx context.Context) (bool, error) {
	names, err := p.list(ctx, "apppool", "/text:name")
	is := slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, p.name) })
	if err == nil && !is && !p.first {
		err = fmt.Errorf("IIS has no application pool %q: correct application.iis.pools", p.name)
	}
	return is, err
}

// attribute returns one word about the pool.
func (p iisPool) attribute(ctx context.Context, name string) (string, error) {
	lines, err := p.list(ctx, "apppool", p.name, "/text:"+name)
	if err == nil && len(lines) != 1 {
		err = fmt.Errorf("the %s of the application pool %s is not known: IIS answers %q", name, p.name, strings.Join(lines, " "))
	}
	if err != nil {
		return "", err
	}
	return strings.ToLower(lines[0]), nil
}

// autoStart reports whether the pool is started with the system.
func (p iisPool) autoStart(ctx context.Context) (bool, error) {
	is, err := p.attribute(ctx, "autoStart")
	if err == nil && is != "true" && is != "false" {
		err = fmt.Errorf("autoStart of the application pool %s is %q", p.name, is)
	}
	return is == "true", err
}

// Stop keeps what it finds, turns the pool's autoStart off, and returns once its last process has ended.
func (p iisPool) Stop(ctx context.Context) error {
	if is, err := p.exists(ctx); err != nil || !is {
		return err
	}
	auto, err := p.autoStart(ctx)
	if err != nil {
		return err
	}
	state, err := p.attribute(ctx, "state")
	if err != nil {
		return err
	}
	if found, err := p.before(); err != nil {
		return err
	} else if found == nil {
		text, err := json.Marshal(foundPool{auto, state == "started" || state == "starting"})
		if err == nil {
			err = replaceFile(p.found, text)
		}
		if err != nil {
			return fmt.Errorf("cannot keep how the application pool %s was: %w", p.name, err)
		}
	}
	if auto {
		if err := p.run(ctx, "set", "/autoStart:false"); err != nil {
			return err
		}
	}
	if state != "stopped" && state != "stopping" {
		if err := p.run(ctx, "stop"); err != nil {
			return err
		}
	}
	return p.await(ctx, "stopped")
}

// Start brings back what Stop found. A pool that was never stopped, as a new one, is started.
func (p iisPool) Start(ctx context.Context) error {
	found, err := p.before()
	if err != nil {
		return err
	}
	if found != nil && found.AutoStart {
		if err := p.run(ctx, "set", "/autoStart:true"); err != nil {
			return err
		}
	}
	if found == nil || found.Started {
		state, err := p.attribute(ctx, "state")
		if err != nil {
			return err
		}
		if state != "started" && state != "starting" {
			if err := p.run(ctx, "start"); err != nil {
				return err
			}
		}
		if err := p.await(ctx, "started"); err != nil {
			return err
		}
	}
	if err := removeFile(p.found); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// await returns once the pool is in a state, and has no process if that is stopped.
func (p iisPool) await(ctx context.Context, want string) error {
	var seen error
	for {
		state, err := p.attribute(ctx, "state")
		var left []string
		if err == nil && state == want && want == "stopped" {
			left, err = p.list(ctx, "wp", "/apppool.name:"+p.name, "/text:WP.NAME")
		}
		switch {
		case err == nil && state == want && len(left) == 0:
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && len(left) > 0:
			seen = fmt.Errorf("the application pool %s is stopped, and these processes of it have not ended: %s", p.name, strings.Join(left, " "))
		case err == nil:
			seen = fmt.Errorf("the application pool %s is %s", p.name, state)
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), seen)
		case <-time.After(iisPoll):
		}
	}
}

// Closed reports whether the pool is stopped.
func (p iisPool) Closed(ctx context.Context) (bool, error) {
	state, err := p.attribute(ctx, "state")
	return state == "stopped", err
}

// Settle settles a command that a process before this one left running.
func (p iisPool) Settle(ctx context.Context) (bool, error) {
	return roles.Switch{Off: p.command("list")}.Settle(ctx)
}

// before returns what Stop found, nil if the pool was not stopped.
func (p iisPool) before() (*foundPool, error) {
	text, err := readFile(p.found)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	found := &foundPool{}
	if err == nil {
		err = json.Unmarshal(text, found)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read how the application pool %s was: %w; remove %s once the pool is as it should be", p.name, err, p.found)
	}
	return found, nil
}

// iisPools finds the application pools that an update stops.
func (d *doctor) iisPools(ctx context.Context) {
	for _, pool := range d.pools(d.fresh) {
		is, err := pool.exists(ctx)
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrConfig, err)
		} else if !is {
			d.warn("pool", pool.name, "does not exist yet: FullSetup must create it")
			continue
		}
		state := ""
		if err == nil {
			state, err = pool.attribute(ctx, "state")
		}
		d.either(err, "pool", pool.name, "%s", state)
	}
}

// checkPools refuses names that appcmd would take for something else.
func (c *iisConfig) checkPools() (m mistakes) {
	for i, name := range c.Pools {
		m.when(name == "" || strings.ContainsAny(name, `"'*?[]`+"\r\n") || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "-"), "application.iis.pools has %q: give the name of an application pool in IIS, such as asp", name)
		m.when(slices.ContainsFunc(c.Pools[:i], func(other string) bool { return strings.EqualFold(other, name) }), "application.iis.pools has %q twice", name)
	}
	return m
}
