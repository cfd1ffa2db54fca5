package postgres

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// useList has pg_restore restore those entries. They are passed through a pipe: the
// disk may be full. done must be called after the command has ended.
func useList(cmd *exec.Cmd, ids []string) (done func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Args = append(cmd.Args, "--use-list=/proc/self/fd/"+strconv.Itoa(3+len(cmd.ExtraFiles)))
	cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = w.WriteString(strings.Join(ids, ";\n") + ";\n")
		_ = w.Close()
	}()
	return func() {
		_ = r.Close() // ends the writing if no one reads
		<-written
	}, nil
}
