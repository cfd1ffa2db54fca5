package install

import (
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// marker is the variable by which a process is known to belong to a run,
	// even after it has left its group, its session and its parent.
	marker = "ASPUPDATE_RUN"
	// endLimit bounds the ending of a tree; only processes that the kernel
	// or another user's rights protect last longer than a few milliseconds.
	endLimit = 10 * time.Second
)

// program is what launch starts.
type program struct {
	argv           []string
	line           string // Windows: the command line in place of argv's; may be empty
	dir            string
	env            []string // whole; launch adds the run's id
	id             string
	group          string    // Linux: the control group to make for it; may be empty
	stdout, stderr io.Writer // nil is the null device; an *os.File is written to directly
}

// command returns what starts p. It can be started once.
func (p program) command() *exec.Cmd {
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir = p.dir
	cmd.Env = slices.DeleteFunc(slices.Clone(p.env), func(kv string) bool { return strings.HasPrefix(kv, marker+"=") })
	cmd.Env = append(cmd.Env, marker+"="+p.id)
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	// Where output comes through a pipe, children that hold it open do not
	// hold up the news that the program itself has ended.
	cmd.WaitDelay = time.Second
	return cmd
}
