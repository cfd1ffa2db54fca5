package postgres

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/process"
)

const (
	jobs        = "2"               // that make indexes and foreign keys once all rows are there
	maxContents = 32 << 20          // bytes; enough for a hundred thousand tables and indexes
	inherited   = "/proc/self/fd/3" // opens the first of a command's ExtraFiles anew
	postData    = "--section=post-data"
)

// contents is the beginning of a dump: its table of contents, and maybe some rows.
// pg_restore needs no more of it to make indexes and foreign keys, and makes
// several at a time only from a file. The file has no name, so that it is never
// left behind.
type contents struct {
	*os.File
	left   int
	failed bool
}

// newContents returns nil if the system has no files without names.
func newContents() *contents {
	if runtime.GOOS != "linux" {
		return nil
	}
	f, err := os.CreateTemp("", "aspupdate-contents-")
	if err != nil {
		return nil
	}
	if err := durable.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil
	}
	return &contents{File: f, left: maxContents}
}

// Write keeps what still fits, and never fails.
func (c *contents) Write(p []byte) (int, error) {
	k := min(len(p), c.left)
	c.left -= k
	if k > 0 && !c.failed {
		_, err := c.File.Write(p[:k])
		c.failed = err != nil
	}
	return len(p), nil
}

// read returns nil if the table of contents is incomplete or not understood.
func (c *contents) read(ctx context.Context, restore string) *order {
	all, err := c.list(ctx, restore, "--verbose")
	if err != nil {
		return nil
	}
	after, err := c.list(ctx, restore, postData)
	if err != nil {
		return nil
	}
	return readOrder(all, after)
}

func (c *contents) list(ctx context.Context, restore string, which string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.Command(restore, "--list", which, inherited)
	cmd.ExtraFiles = []*os.File{c.File}
	cmd.Env = toolEnv()
	cmd.Stdout = &out
	err := process.Do(ctx, cmd)
	return out.Bytes(), err
}

// An order says when a dump's entries can be made. Entries are numbers, as listed
// by pg_restore.
type order struct {
	filled []string            // tables, in the order in which their rows are loaded
	rest   []string            // entries that wait until all rows are loaded
	mu     sync.Mutex          // guards what follows
	taken  int                 // of filled
	own    map[string][]string // by table: indexes and keys that depend on it alone
}

var (
	entryForm = regexp.MustCompile(`(?m)^(\d+); (\d+) \d+ (.*)$`)
	countForm = regexp.MustCompile(`(?m)^; +TOC Entries: (\d+)$`)
)

// An entry is a line of pg_restore's list.
type entry struct {
	id, class, what string
	needs           []string // other entries, each once
}

// readOrder reads pg_restore's list with dependencies, and that of what comes
// after the rows. An index that depends on more than its table, such as a
// function of the application, may read the rows of other tables. It returns nil
// if an entry is not understood: what is not listed would not be made.
func readOrder(all, after []byte) *order {
	var entries []entry
	for line := range strings.Lines(string(all)) {
		line = strings.TrimRight(line, "\r\n")
		if m := entryForm.FindStringSubmatch(line); m != nil {
			entries = append(entries, entry{id: m[1], class: m[2], what: m[3]})
		} else if needs, ok := strings.CutPrefix(line, ";\tdepends on:"); ok && len(entries) > 0 {
			list := strings.Fields(needs) // one for each column
			slices.Sort(list)
			entries[len(entries)-1].needs = slices.Compact(list)
		}
	}
	if m := countForm.FindSubmatch(all); m == nil || string(m[1]) != strconv.Itoa(len(entries)) {
		return nil
	}
	o := &order{own: map[string][]string{}}
	known := map[string]bool{}
	for _, e := range entries {
		if strings.HasPrefix(e.what, "TABLE DATA ") && e.class == "0" && len(e.needs) > 0 {
			o.filled = append(o.filled, e.needs[0])
			known[e.needs[0]] = true
		}
	}
	ours := map[string]bool{}
	for _, e := range entries {
		plain := strings.HasPrefix(e.what, "INDEX ") || strings.HasPrefix(e.what, "CONSTRAINT ")
		if plain && len(e.needs) == 1 && known[e.needs[0]] {
			o.own[e.needs[0]] = append(o.own[e.needs[0]], e.id)
			ours[e.id] = true
		}
	}
	for _, m := range entryForm.FindAllSubmatch(after, -1) {
		if id := string(m[1]); !ours[id] {
			o.rest = append(o.rest, id)
		}
	}
	return o
}

// only leaves those entries out that are not among ids.
func (o *order) only(ids []string) *order {
	if o == nil {
		return nil
	}
	known := map[string]bool{}
	for _, id := range ids {
		known[id] = true
	}
	other := func(id string) bool { return !known[id] }
	o.rest = slices.DeleteFunc(o.rest, other)
	for table := range o.own {
		o.own[table] = slices.DeleteFunc(o.own[table], other)
	}
	return o
}

// take returns what can be made once the first n tables are filled, each entry once.
func (o *order) take(n int) (entries []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = min(n, len(o.filled))
	for ; o.taken < n; o.taken++ {
		entries = append(entries, o.own[o.filled[o.taken]]...)
	}
	return entries
}
