package postgres

import (
	"context"
	"os"
	"os/exec"
	"runtime"
)

const (
	jobs        = "2"               // that make indexes and foreign keys at a time
	maxContents = 32 << 20          // bytes; that of a hundred thousand tables and indexes
	inherited   = "/proc/self/fd/3" // opens the first of a command's ExtraFiles anew
)

// contents is the beginning of a dump: its table of contents, and maybe some rows.
// pg_restore needs no more of it to make the indexes and foreign keys, and makes
// several at a time only from a file. It has no name, so that it never stays behind.
type contents struct {
	*os.File
	left   int
	failed bool
}

// newContents returns nil where the system has no way for files without names.
func newContents() *contents {
	if runtime.GOOS != "linux" {
		return nil
	}
	f, err := os.CreateTemp("", "aspupdate-contents-")
	if err != nil {
		return nil
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil
	}
	return &contents{File: f, left: maxContents}
}

// Write keeps what still fits. It never fails: the dump is read all the same.
func (c *contents) Write(p []byte) (int, error) {
	k := min(len(p), c.left)
	c.left -= k
	if k > 0 && !c.failed {
		_, err := c.File.Write(p[:k])
		c.failed = err != nil
	}
	return len(p), nil
}

// whole reports whether the table of contents is all there.
func (c *contents) whole(ctx context.Context, restore string) bool {
	if c.failed {
		return false
	}
	cmd := exec.CommandContext(ctx, restore, "--list", inherited)
	cmd.ExtraFiles = []*os.File{c.File}
	return cmd.Run() == nil
}
