package command

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
)

// server is a place whose names are databases, reached by the caller's commands.
type server struct{ c *call }

const maxList = 16 << 20 // bytes; no server has that many names

func (s server) List(ctx context.Context) ([]string, error) {
	out := &head{max: maxList + 1}
	if err := s.c.run(ctx, "list", s.c.Commands.List, vars{"{live}": s.c.Live}, out); err != nil {
		return nil, err
	}
	if len(out.b) > maxList {
		return nil, errors.New("the list of names is longer than 16 MiB: List may print names only")
	}
	var all []string
	for line := range strings.Lines(string(bytes.TrimPrefix(out.b, []byte("\uFEFF")))) {
		all = append(all, strings.TrimSpace(line))
	}
	return all, nil
}

// Rename relies on what List shows afterwards: some tools fail with exit code 0, and an
// answer can be lost after the rename.
func (s server) Rename(ctx context.Context, from, to string) error {
	cmd := s.c.Commands.Rename
	err := s.c.run(ctx, "rename", cmd, vars{"{live}": s.c.Live, "{from}": from, "{to}": to}, nil)
	all, lerr := s.List(context.WithoutCancel(ctx))
	switch {
	case lerr != nil:
		return errors.Join(err, lerr)
	case slices.Contains(all, to) && !slices.Contains(all, from):
		return nil
	case err != nil:
		return err
	}
	return s.c.noEffect("rename", cmd, "%s did not become %s", from, to)
}

func (s server) Drop(ctx context.Context, name string) error {
	cmd := s.c.Commands.Drop
	err := s.c.run(ctx, "drop", cmd, vars{"{live}": s.c.Live, "{name}": name}, nil)
	all, lerr := s.List(context.WithoutCancel(ctx))
	switch {
	case lerr != nil:
		return errors.Join(err, lerr)
	case !slices.Contains(all, name):
		return nil
	case err != nil:
		return err
	}
	return s.c.noEffect("drop", cmd, "%s still exists", name)
}
