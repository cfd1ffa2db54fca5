package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
)

const (
	jobs        = "2"      // that make indexes and foreign keys at a time
	maxContents = 32 << 20 // bytes; that of a hundred thousand tables and indexes
	postData    = "--section=post-data"
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
	f, err := unnamed()
	if err != nil {
		return nil
	}
	return &contents{File: f, left: maxContents}
}

// unnamed makes an empty file that goes with the last who has it open.
func unnamed() (*os.File, error) {
	f, err := os.CreateTemp("", "aspupdate-contents-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// inherited is a path that opens one of a command's ExtraFiles anew.
func inherited(i int) string { return fmt.Sprintf("/proc/self/fd/%d", 3+i) }

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

// read returns nil if the table of contents is not all there.
func (c *contents) read(ctx context.Context, restore string) *order {
	cmd := exec.CommandContext(ctx, restore, "--list", "--verbose", inherited(0))
	cmd.ExtraFiles = []*os.File{c.File}
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	list, err := cmd.Output()
	if err != nil {
		return nil
	}
	return readOrder(list)
}

// An order is what of a dump's entries can be made when. Entries have numbers,
// as pg_restore lists them.
type order struct {
	filled []string            // tables, in the order in which their rows come
	rest   []string            // all but own, what comes before the rows included
	mu     sync.Mutex          // for what follows
	taken  int                 // of filled
	own    map[string][]string // by table: indexes and keys that need it alone
}

var entryForm = regexp.MustCompile(`^(\d+); (\d+) \d+ (.*)$`)

// readOrder reads pg_restore's list with what depends on what. An index that
// needs more than its table, a function of the application's for one, may look
// at the rows of other tables.
func readOrder(list []byte) *order {
	type entry struct {
		id, what string
		needs    []string
	}
	var entries []entry
	for line := range bytes.Lines(list) {
		text := strings.TrimRight(string(line), "\r\n")
		if m := entryForm.FindStringSubmatch(text); m != nil {
			entries = append(entries, entry{id: m[1], what: m[3]})
		} else if needs, ok := strings.CutPrefix(text, ";\tdepends on:"); ok && len(entries) > 0 {
			entries[len(entries)-1].needs = strings.Fields(needs)
		}
	}
	o := &order{own: map[string][]string{}}
	for _, e := range entries {
		if strings.HasPrefix(e.what, "TABLE DATA ") && len(e.needs) > 0 {
			o.filled = append(o.filled, e.needs[0])
		}
	}
	known := map[string]bool{}
	for _, table := range o.filled {
		known[table] = true
	}
	for _, e := range entries {
		plain := strings.HasPrefix(e.what, "INDEX ") || strings.HasPrefix(e.what, "CONSTRAINT ")
		if plain && len(e.needs) == 1 && known[e.needs[0]] {
			o.own[e.needs[0]] = append(o.own[e.needs[0]], e.id)
		} else {
			o.rest = append(o.rest, e.id)
		}
	}
	return o
}

// take hands out what the first n tables that are filled make possible, each entry once.
func (o *order) take(n int) (entries []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = min(n, len(o.filled))
	for ; o.taken < n; o.taken++ {
		entries = append(entries, o.own[o.filled[o.taken]]...)
	}
	return entries
}
