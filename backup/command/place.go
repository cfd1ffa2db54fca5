package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// named is a server, with the caller's commands.
type named struct{ c *call }

const maxList = 16 << 20 // bytes; no server has so many names

func (n named) List(ctx context.Context) ([]string, error) {
	out := &head{max: maxList + 1}
	if err := n.c.run(ctx, "list", n.c.Names.List, vars{"{live}": n.c.Live}, out); err != nil {
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

// Rename goes by what List shows afterwards: tools exist that fail and say 0,
// and an answer can be lost after the deed.
func (n named) Rename(ctx context.Context, from, to string) error {
	err := n.c.run(ctx, "rename", n.c.Names.Rename, vars{"{live}": n.c.Live, "{from}": from, "{to}": to}, nil)
	all, lerr := n.List(context.WithoutCancel(ctx))
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

func (n named) Drop(ctx context.Context, name string) error {
	err := n.c.run(ctx, "drop", n.c.Names.Drop, vars{"{live}": n.c.Live, "{name}": name}, nil)
	all, lerr := n.List(context.WithoutCancel(ctx))
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
