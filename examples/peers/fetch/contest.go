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
	// check checks what a program wrote to its directory and its standard output.
	// It is not timed.
	check func(dir, out string) error
}

// A way is one program's way to do the work.
type way struct {
	name string
	argv []string // {to} is a directory that is empty at the start
}

// shell returns a way that runs several programs.
func shell(name, script string) way {
	return way{name, []string{"/bin/sh", "-c", script}}
}

// A cost is what one run took.
type cost struct {
	wall time.Duration
	cpu  time.Duration // of the program and what it started, not of the server
	// rss is its peak memory. The kernel begins to count before the program is
	// loaded, so that it is never below the memory of this command.
	rss int64
}

// A round has the cost of each way, by name.
type round map[string]cost

// hold runs a contest. In each round another way begins, so that the order
// favors none.
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

// run runs one way once.
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
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &stderr, b.environ()
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	if err != nil {
		return cost{}, fmt.Errorf("%w\n%s", err, stderr.String())
	}
	if check {
		if err := c.check(to, out.String()); err != nil {
			return cost{}, err
		}
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("the system does not report resource usage")
	}
	const unit = 1 << 10 // Linux counts KiB
	return cost{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Maxrss * unit}, nil
}

// warm allocates as much memory as the file needs, and frees it. On a virtual
// machine the host takes back idle memory, and getting it again costs as much as
// the whole download.
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
