package process_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/process"
)

// A stranger who knows the ID, which everyone sees in paths, is no member of the
// tree: it can neither hold a run up nor be ended with it.
func TestStrangersDoNotJoinATree(t *testing.T) {
	rec := process.NewRecord()
	rec.Group = "" // as where no control group can be made
	tree, err := process.Start(self("sleep=200ms"), rec, nil)
	require.NoError(t, err)
	defer tree.Close()
	stranger := exec.Command("/bin/sleep", "60")
	stranger.Env = []string{"ASPUPDATE_RUN=" + rec.ID}
	require.NoError(t, stranger.Start())
	defer func() { _, _ = stranger.Process.Kill(), stranger.Wait() }()
	require.NoError(t, tree.Wait(t.Context()))
	require.NoError(t, tree.End())
	_, alive := process.Lookup(stranger.Process.Pid)
	require.True(t, alive)

	rec.Secret = "" // of the first version, which had no other mark
	found, err := process.Find(rec)
	require.NoError(t, err)
	members, err := found.Members()
	require.NoError(t, err)
	require.Len(t, members, 1)
}

// The secret is where other users cannot read it.
func TestTheSecretIsInTheEnvironmentAlone(t *testing.T) {
	rec := process.NewRecord()
	tree, err := process.Start(self("hang"), rec, nil)
	require.NoError(t, err)
	defer tree.Close()
	defer func() { require.NoError(t, tree.End()) }()
	dir := "/proc/" + strings.SplitN(process.Member{PID: tree.Record().PID}.String(), "/", 2)[0]
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	require.NoError(t, err)
	require.NotContains(t, string(line), rec.Secret)
	require.NotContains(t, rec.Group, rec.Secret)
	require.Eventually(t, func() bool {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		return err == nil && strings.Contains(string(env), "ASPUPDATE_RUN="+rec.Secret)
	}, 10*time.Second, time.Millisecond)
	fi, err := os.Stat(filepath.Join(dir, "environ"))
	require.NoError(t, err)
	require.Zero(t, fi.Mode().Perm()&0o077)
}

// Whoever runs the update: what is installed is readable, and writable by its
// owner alone.
func TestChildrenHaveASaneUmask(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		before := unix.Umask(mask)
		var out bytes.Buffer
		cmd := exec.Command("/bin/sh", "-c", "umask")
		cmd.Stdout = &out
		err := process.Do(t.Context(), cmd)
		after := unix.Umask(before)
		require.NoError(t, err)
		require.Equal(t, "0022\n", out.String())
		require.Equal(t, mask, after, "this process keeps its own")
	}
}

// A descriptor that this process was given, and did not open itself, is not passed
// on: it may be a lock or a secret.
func TestChildrenInheritNoDescriptor(t *testing.T) {
	fds, err := unix.Open(filepath.Join(t.TempDir(), "secret"), unix.O_CREAT|unix.O_RDWR, 0o600) // without O_CLOEXEC
	require.NoError(t, err)
	defer func() { _ = unix.Close(fds) }()
	var out bytes.Buffer
	cmd := exec.Command("/bin/ls", "-l", "/proc/self/fd")
	cmd.Stdout = &out
	require.NoError(t, process.Do(t.Context(), cmd))
	require.NotContains(t, out.String(), "secret")
	require.Contains(t, out.String(), "/dev/null", "standard input is empty")
}

// A program that prints without end fills no disk, and its first and last lines
// are kept.
func TestOutputIsLimited(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = io.WriteString(f, "of another run\n")
	require.NoError(t, err)
	limits := process.Limits{Head: 1 << 10, Tail: 4 << 10, Most: 64 << 10}
	stop := process.Limit(log, limits)
	cmd := exec.Command("/bin/sh", "-c", "echo first; i=0; while [ $i -lt 400 ]; do echo line $i; printf %09999d 0; echo; i=$((i+1)); sleep 0.002; done; echo last")
	cmd.Stdout = f
	largest := int64(0)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range 200 {
			if fi, err := os.Stat(log); err == nil {
				largest = max(largest, fi.Size())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	require.NoError(t, process.Do(t.Context(), cmd))
	stop()
	<-over
	require.NoError(t, f.Close())
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Less(t, largest, int64(3<<20), "%d", len(text))
	require.Less(t, len(text), 1<<20)
	require.True(t, strings.HasPrefix(string(text), "of another run\nfirst\nline 0\n"), "%.100s", text)
	require.True(t, strings.HasSuffix(string(text), "\nlast\n"))
	require.Regexp(t, `\n… [0-9]{7} bytes were left out here …\n`, string(text))
}
