package install

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// volumeVar is set in a process with mounts of its own.
const volumeVar = "INSTALL_TEST_VOLUME"

// inMounts runs the test once more, in a process with mounts of its own and with a directory to mount on.
func inMounts(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root can mount a volume")
	}
	cmd := exec.Command(realtest.Program(t, "unshare"), "--mount", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), volumeVar+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "unshare failed") || strings.Contains(string(out), "cannot mount") {
		realtest.Skip(t, "no volume can be mounted here: %s", out)
	}
	require.NoError(t, err, string(out))
	t.Logf("%s", out)
}

// A prompt in a loop fills no volume: neither does the run end because of it, nor is
// there no space left for a rollback. And it is reported within a minute.
func TestAPromptWithoutEndLeavesSpaceForTheWayBack(t *testing.T) {
	dir := os.Getenv(volumeVar)
	if dir == "" {
		inMounts(t)
		return
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=40m"); err != nil {
		t.Fatalf("cannot mount: %v", err)
	}
	free := func() int64 {
		v, err := durable.VolumeOf(dir)
		require.NoError(t, err)
		return v.Free
	}
	setup := func(text string) Command {
		path := filepath.Join(dir, "setup.sh")
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o600))
		return Command{Path: path, SHA256: sumOf(t, path), Kind: Script, Deadline: 15 * time.Second}
	}
	r := Runner{State: filepath.Join(dir, "state")}
	var events []Event
	r.Observe = func(e Event) { events = append(events, e) }
	reserve := filepath.Join(r.State, "reserve")
	require.NoError(t, os.MkdirAll(r.State, 0o700))
	require.NoError(t, durable.Reserve(reserve, 16<<20))
	require.ErrorIs(t, durable.Reserve(reserve+"2", 64<<20), unix.ENOSPC)
	require.NoFileExists(t, reserve+"2")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	least := make(chan int64)
	go func() {
		low := int64(1 << 40)
		for ctx.Err() == nil {
			low = min(low, free())
			time.Sleep(5 * time.Millisecond)
		}
		least <- low
	}()
	r.silence = func(s *silence) { s.every, s.scale = time.Second, 5 } // a busy machine misses a check or two
	out, err := r.Run(t.Context(), setup("while :; do echo 'Overwrite the files of the application? [y/n]'; done"))
	cancel()
	low := <-least
	t.Logf("at least %d MB were free", low>>20)
	require.ErrorIs(t, err, ErrTimeout)
	require.Greater(t, low, int64(2<<20), "the volume was never full")
	fi, err := os.Stat(out.Log)
	require.NoError(t, err)
	require.Less(t, fi.Size(), int64(5<<20))
	require.Contains(t, strings.Join(eventsOf(&events, eventWaiting), "\n"), `prints the same without end, "Overwrite the files of the application? [y/n]"`)

	// As fast as a processor can: the volume may be full for an instant.
	out, err = r.Run(t.Context(), setup("yes 'Overwrite? [y/n]' | head -c 300000000"))
	require.NotEqual(t, notRun, out.Status, "%v", err)
	require.Greater(t, free(), int64(10<<20))

	out, err = r.Run(t.Context(), setup("echo the previous version is installed"))
	require.NoError(t, err)
	require.Equal(t, OK, out.Status)
	require.FileExists(t, reserve)
}

// A program cannot be started from a volume that is mounted noexec: that is known before users are
// put out. What an interpreter reads can.
func TestAVolumeThatForbidsPrograms(t *testing.T) {
	dir := os.Getenv(volumeVar)
	if dir == "" {
		inMounts(t)
		return
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, "size=40m"); err != nil {
		t.Fatalf("cannot mount: %v", err)
	}
	r := Runner{State: filepath.Join(dir, "below", "state")}
	program := Command{Path: "/bin/true", SHA256: sumOf(t, "/bin/true"), Kind: Plain, Args: []string{"--silent"}, Deadline: time.Minute}
	script := program
	script.Path, script.Args, script.Kind = filepath.Join(dir, "setup.sh"), nil, Script
	require.NoError(t, os.WriteFile(script.Path, []byte("#!/bin/sh\n"), 0o600))
	script.SHA256 = sumOf(t, script.Path)

	require.ErrorContains(t, r.Ready(t.Context(), program), "forbids running programs (noexec)")
	require.NoError(t, r.Ready(t.Context(), script))
	elsewhere := Runner{State: t.TempDir()}
	require.NoError(t, elsewhere.Ready(t.Context(), program))
	launched := program
	launched.Launcher = []string{"/bin/sh", "-c", "exit"}
	require.NoError(t, r.Ready(t.Context(), launched))

	out, err := r.Run(t.Context(), program)
	require.ErrorContains(t, err, "forbids running programs (noexec)")
	require.Equal(t, notRun, out.Status)
	out, err = r.Run(t.Context(), script)
	require.NoError(t, err)
	require.Equal(t, OK, out.Status)
}
