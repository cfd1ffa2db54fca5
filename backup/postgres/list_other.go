//go:build !linux

package postgres

import (
	"errors"
	"os"
	"os/exec"
	"strings"
)

// useList has pg_restore restore those entries. done must be called after the
// command has ended.
func useList(cmd *exec.Cmd, ids []string) (done func(), err error) {
	f, err := os.CreateTemp("", "aspupdate-list-")
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(strings.Join(ids, ";\n") + ";\n")
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return nil, err
	}
	cmd.Args = append(cmd.Args, "--use-list="+f.Name())
	return func() { _ = os.Remove(f.Name()) }, nil
}
