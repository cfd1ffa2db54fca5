package command_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/command"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The test binary is the tools as well, so that the tests run where there is
// neither cp nor sh: it runs as one if its first argument is "tool".
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "tool" {
		if err := runTool(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	// A program with the race detector otherwise sleeps for a second before it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func runTool(name string, a []string) error {
	switch name {
	case "copy": // FROM TO
		return copyFile(a[0], a[1])
	case "half": // FROM TO: what a killed tool leaves
		data, err := os.ReadFile(a[0])
		if err == nil {
			err = os.WriteFile(a[1], data[:len(data)/2], 0o600)
		}
		return fmt.Errorf("half done: %w", err)
	case "print": // FILE
		data, err := os.ReadFile(a[0])
		fmt.Print(string(data))
		return err
	case "say": // CODE TEXT: and the environment's SECRET
		fmt.Print(a[1] + os.Getenv("SECRET") + "\n")
		code, _ := strconv.Atoi(a[0])
		os.Exit(code)
	case "ask": // prompts as gbak does
		fmt.Print("a new name: ")
		n, err := io.Copy(io.Discard, os.Stdin)
		fmt.Printf("%d bytes came, %v", n, err)
		os.Exit(9)
	case "hold": // PIDFILE CHILDREN
		n, _ := strconv.Atoi(a[1])
		return hold(a[0], n)
	case "leave": // PIDFILE, a child that keeps our output open, and end
		child := exec.Command(os.Args[0], "tool", "hold", a[0], "0")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		return realtest.Start(child)
	case "list": // DIR
		entries, err := os.ReadDir(a[0])
		for _, e := range entries {
			fmt.Println(e.Name())
		}
		return err
	case "rename": // DIR FROM TO
		if _, err := os.Stat(filepath.Join(a[0], a[2])); err == nil {
			return os.ErrExist
		}
		return os.Rename(filepath.Join(a[0], a[1]), filepath.Join(a[0], a[2]))
	case "replace": // FROM TO
		return os.Rename(a[0], a[1])
	case "drop": // DIR NAME
		return os.Remove(filepath.Join(a[0], a[1]))
	case "env": // TO
		return os.WriteFile(a[0], []byte(os.Getenv("ASPUPDATE_SNAPSHOT")), 0o600)
	case "attack": // DIR
		attacker(a[0])
	case "nothing":
		return nil
	}
	return fmt.Errorf("no tool %q", name)
}

// hold appends this process's number to the file and waits for its end, with
// children below.
func hold(pidFile string, children int) error {
	f, err := os.OpenFile(pidFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintln(f, os.Getpid())
	f.Close()
	if children > 0 {
		child := exec.Command(os.Args[0], "tool", "hold", pidFile, strconv.Itoa(children-1))
		leaveSession(child)
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := realtest.Start(child); err != nil {
			return err
		}
	}
	time.Sleep(time.Minute)
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

func tool(t testing.TB, argv ...string) command.Command {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return command.Command{Argv: append([]string{self, "tool"}, argv...), Timeout: time.Minute}
}

// world is a file that is backed up by copying.
type world struct {
	live   string
	target *command.Target
	store  *backup.Store
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{live: filepath.Join(t.TempDir(), "Опека {new}.db"), store: &backup.Store{Dir: filepath.Join(t.TempDir(), "store {dir}")}}
	require.NoError(t, os.WriteFile(w.live, []byte(strings.Repeat("Иванова\n", 1000)), 0o640))
	w.target = &command.Target{
		Live: w.live,
		Commands: command.Commands{
			Backup:   tool(t, "copy", "{live}", "{file}"),
			Verify:   tool(t, "copy", "{file}", "{new}"),
			Restore:  tool(t, "copy", "{file}", "{new}"),
			Describe: tool(t, "print", "{name}"),
			Version:  tool(t, "say", "0", "copy 1.0\nmore"),
		},
	}
	return w
}

// newServer is the same with names instead of a path.
func newServer(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	dir := filepath.Dir(w.live)
	in := func(name string) string { return dir + string(filepath.Separator) + name }
	w.target.Live = filepath.Base(w.live)
	w.target.Commands.Backup = tool(t, "copy", in("{live}"), "{dir}"+string(filepath.Separator)+"data.bak")
	w.target.Commands.Restore = tool(t, "copy", "{dir}"+string(filepath.Separator)+"data.bak", in("{new}"))
	w.target.Commands.Verify = tool(t, "print", "{dir}"+string(filepath.Separator)+"data.bak")
	w.target.Commands.Describe = tool(t, "print", in("{name}"))
	w.target.Commands.List = tool(t, "list", dir)
	w.target.Commands.Rename = tool(t, "rename", dir, "{from}", "{to}")
	w.target.Commands.Drop = tool(t, "drop", dir, "{name}")
	return w
}

func (w *world) change(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(w.live)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.live, append(data[8:], "changed\n"...), 0o600))
}

func (w *world) state(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(w.live)
	require.NoError(t, err)
	return string(data)
}

// beside lists what lies beside the live file.
func (w *world) beside(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(w.live))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if e.Name() != filepath.Base(w.live) {
			names = append(names, e.Name())
		}
	}
	return names
}

func (w *world) take(t *testing.T) backup.Snapshot {
	t.Helper()
	snap, err := w.store.Take(t.Context(), "x", w.target)
	require.NoError(t, err)
	return snap
}
