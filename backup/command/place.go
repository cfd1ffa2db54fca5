package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// files is a folder, with paths for names.
type files struct{ dir, live string }

func (f files) list(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(f.dir, e.Name()))
	}
	// Where letter case does not count, the folder may spell it otherwise.
	switch _, err := os.Lstat(f.live); {
	case err == nil:
		return append(paths, f.live), nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return paths, nil
}

func (f files) rename(_ context.Context, from, to string) error { return durable.Publish(from, to) }

// drop removes a file, or whatever else a failing tool has made under a name
// of ours.
func (f files) drop(_ context.Context, name string) error {
	if err := os.RemoveAll(name); err != nil {
		return err
	}
	return durable.SyncDir(f.dir)
}

// livePath resolves the links in the path's parents. The file itself may be
// missing, and is no link: renaming one moves no data.
func livePath(path string) (string, error) {
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	path = filepath.Join(parent, filepath.Base(path))
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case err != nil:
		return "", err
	case !fi.Mode().IsRegular():
		return "", fmt.Errorf("%s is no regular file: give the file's own path", path)
	}
	return path, nil
}

// named is a server, with the caller's commands.
type named struct{ c *call }

const maxList = 16 << 20 // bytes; no server has so many names

func (n named) list(ctx context.Context) ([]string, error) {
	out := &head{max: maxList + 1}
	if err := n.c.run(ctx, "list", n.c.Names.List, vars{"{live}": n.c.slot.live}, out); err != nil {
		return nil, err
	}
	if len(out.b) > maxList {
		return nil, errors.New("the list of names is longer than 16 MiB: let it print names alone")
	}
	var all []string
	for line := range strings.Lines(string(bytes.TrimPrefix(out.b, []byte("\uFEFF")))) {
		all = append(all, strings.TrimSpace(line))
	}
	return all, nil
}

// rename goes by what List shows afterwards: tools exist that fail and say 0,
// and an answer can be lost after the deed.
func (n named) rename(ctx context.Context, from, to string) error {
	err := n.c.run(ctx, "rename", n.c.Names.Rename, vars{"{live}": n.c.slot.live, "{from}": from, "{to}": to}, nil)
	all, lerr := n.list(context.WithoutCancel(ctx))
	switch {
	case lerr != nil:
		return errors.Join(err, lerr)
	case slices.Contains(all, to) && !slices.Contains(all, from):
		return nil
	case err != nil:
		return err
	}
	return n.c.idle("rename", n.c.Names.Rename, "%s did not become %s", from, to)
}

func (n named) drop(ctx context.Context, name string) error {
	err := n.c.run(ctx, "drop", n.c.Names.Drop, vars{"{live}": n.c.slot.live, "{name}": name}, nil)
	all, lerr := n.list(context.WithoutCancel(ctx))
	switch {
	case lerr != nil:
		return errors.Join(err, lerr)
	case !slices.Contains(all, name):
		return nil
	case err != nil:
		return err
	}
	return n.c.idle("drop", n.c.Names.Drop, "%s is still there", name)
}

// idle is the error of a command that says that all is well.
func (c *call) idle(step string, cmd Command, form string, args ...any) error {
	return &Error{Step: step, Program: cmd.program(), Log: c.log, Err: fmt.Errorf("it says that all is well and "+form, args...)}
}
