//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A contest is work that several programs do one after the other.
type contest struct {
	title string
	bytes int64 // of the file; 0 for a listing
	ways  []way
	// check looks at what a program wrote, into its folder and to its standard
	// output. It is not timed.
	check func(dir, out string) error
}

// A way is one program's way to do the work.
type way struct {
	name string
	argv []string // {to} is a folder that is empty at the start
}

// shell is a way that takes several programs.
func shell(name, script string) way {
	return way{name, []string{"/bin/sh", "-c", script}}
}

// A cost is what one run took.
type cost struct {
	wall time.Duration
	cpu  time.Duration // of the program and what it started, not of the server
	// rss is the most memory it had at a time. The kernel begins to count before
	// the program is loaded, so that it is never below what this command has itself.
	rss int64
}

// A round is what each way took, by its name.
type round map[string]cost

// hold runs a contest. In each round another way begins, so that none has a
// place of its own.
func (c contest) hold(ctx context.Context, rounds int, b bench) ([]round, error) {
	rs := make([]round, 0, rounds)
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", c.title, i+1, rounds)
		r := round{}
		for j := range c.ways {
			w := c.ways[(i+j)%len(c.ways)]
			cost, err := c.run(ctx, w, b, i == 0)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c.title, w.name, err)
			}
			r[w.name] = cost
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// run lets one way do the work once.
func (c contest) run(ctx context.Context, w way, b bench, check bool) (_ cost, err error) {
	to := filepath.Join(b.dir, "to")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(to)) }()
	if err := warm(filepath.Join(b.dir, "warm"), c.bytes); err != nil {
		return cost{}, err
	}
	argv := make([]string, len(w.argv))
	for i, arg := range w.argv {
		argv[i] = strings.ReplaceAll(arg, "{to}", to)
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &said, b.environ()
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	if err != nil {
		return cost{}, fmt.Errorf("%w\n%s", err, said.String())
	}
	if check {
		if err := c.check(to, out.String()); err != nil {
			return cost{}, err
		}
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("the system does not tell what the program used")
	}
	const unit = 1 << 10 // what Linux counts it in
	return cost{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Maxrss * unit}, nil
}

// warm has the kernel hand out as much memory as the file takes, and returns
// it. On a virtual machine memory that was not used for a while is with the
// host, and getting it back costs as much as the whole download.
func warm(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			return errors.Join(err, os.Remove(name))
		}
	}
	return os.Remove(name)
}
