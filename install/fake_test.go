package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// fakeRole is set for a copy of the test binary that is to play a part.
const fakeRole = "INSTALL_TEST_ROLE"

// noNap spares each copy the second that the race detector sleeps at exit.
const noNap = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	switch os.Getenv(fakeRole) {
	case "installer":
		os.Exit(fakeInstaller(os.Args[1:]))
	case "application":
		os.Exit(fakeInstaller([]string{"pid=" + os.Getenv("ASP_PID"), "hang"}))
	case "runner":
		fakeRunner()
	case "rights":
		fmt.Println(Elevated().Run(context.Background()))
		fmt.Println(new(Runner).Ready(context.Background(), Command{Kind: Kind(os.Args[1])}))
		os.Exit(0)
	case "ready":
		fmt.Println(new(Runner).Ready(context.Background(), Command{Path: os.Args[1], Kind: Auto}))
		os.Exit(0)
	}
	os.Exit(func() int {
		// Without this, covered copies of the test binary complain in their output.
		dir, err := os.MkdirTemp("", "install-test-*")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		_ = os.Setenv("GOCOVERDIR", dir)
		return m.Run()
	}())
}

// fakeInstaller does one thing after the other and exits with the last code.
func fakeInstaller(steps []string) int {
	for i, step := range steps {
		verb, arg, _ := strings.Cut(step, "=")
		switch verb {
		case "print":
			fmt.Println(arg)
		case "hex": // an argument on Windows cannot have every byte
			text, _ := hex.DecodeString(arg)
			fmt.Println(string(text))
		case "complain":
			fmt.Fprintln(os.Stderr, arg)
		case "flood":
			n, _ := strconv.Atoi(arg)
			for range n {
				fmt.Println(strings.Repeat("x", 99))
			}
		case "exit":
			code, _ := strconv.ParseUint(arg, 10, 32)
			return int(code)
		case "first": // goes on the first time only
			if _, err := os.Stat(arg); err == nil {
				return 0
			}
			_ = os.WriteFile(arg, nil, 0o600)
		case "sleep":
			d, _ := time.ParseDuration(arg)
			time.Sleep(d)
		case "until": // goes on once there is such a file
			for range 3000 {
				if _, err := os.Stat(arg); err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		case "hang":
			time.Sleep(3 * time.Minute) // an end all the same, should a test forget it
		case "stubborn":
			signal.Ignore(syscall.SIGTERM, os.Interrupt)
		case "touch":
			_ = os.WriteFile(arg, []byte(os.Args[0]), 0o600)
		case "pid":
			_ = os.WriteFile(arg+".tmp", []byte(strconv.Itoa(os.Getpid())), 0o600)
			_ = os.Rename(arg+".tmp", arg)
		case "env":
			fmt.Println(strings.Join(os.Environ(), "\n"))
		case "pwd":
			dir, _ := os.Getwd()
			fmt.Println(dir)
		case "ask":
			fmt.Print(arg)
		case "loop": // asks without end, for a minute
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
				fmt.Print(strings.Repeat(arg, 8))
			}
		case "burn": // writes the log of a bundle
			if n := slices.Index(os.Args, "/log"); n > 0 {
				_ = os.WriteFile(os.Args[n+1], []byte("[0A54:0B38][2026-11-29T20:00:00]i001: Burn v3.14.1.8722, Windows v10.0\r\n"+
					"[0A54:0B38][2026-11-29T20:00:01]i399: Apply complete, result: "+arg+", restart: None, ba requested restart:  No\r\n"), 0o600)
			}
		case "work":
			for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			}
		case "start": // a program that does the rest and is left
			cmd := exec.Command(arg, steps[i+1:]...)
			if err := realtest.Start(cmd); err != nil {
				fmt.Println(err)
				return 99
			}
			if len(steps) > i+1 && strings.HasPrefix(steps[i+1], "start=") {
				break // one that has nothing to do
			}
			return 0
		case "stdin":
			n, err := os.Stdin.Read(make([]byte, 1))
			fmt.Println("stdin", n, err)
		case "child", "bare-child", "daemon", "bare-daemon": // the rest is the child's
			exe, _ := os.Executable()
			cmd := exec.Command(exe, steps[i+1:]...)
			if strings.HasSuffix(verb, "daemon") {
				detach(cmd)
			}
			if strings.HasPrefix(verb, "bare") { // it forgets whose it is
				cmd.Env = []string{fakeRole + "=installer", noNap}
			}
			if arg == "" { // it shares our output, as a careless program's children do
				cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			}
			if err := realtest.Start(cmd); err != nil {
				fmt.Println(err)
				return 99
			}
			if arg != "wait" {
				code, _ := strconv.Atoi(arg)
				return code
			}
			_ = cmd.Wait()
			return 0
		}
	}
	return 0
}

// fakeRunner is an updater that runs its last argument's installer.
func fakeRunner() {
	r := Runner{State: os.Args[1]}
	var more []string
	if wait, ok := os.LookupEnv("ASP_WAIT"); ok {
		more = append(more, "ASP_WAIT="+wait)
	}
	_, err := r.Run(context.Background(), Command{Path: os.Args[2], SHA256: os.Args[3], Args: os.Args[4:], Env: fakeEnv(more...)})
	fmt.Println(err)
	os.Exit(0)
}

func fakeEnv(more ...string) []string {
	return append(append(BaseEnv(), fakeRole+"=installer", "GOCOVERDIR="+os.Getenv("GOCOVERDIR"), noNap), more...)
}

// fake returns a command that runs the steps.
func fake(t *testing.T, steps ...string) Command {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return Command{Path: exe, SHA256: sumOf(t, exe), Args: steps, Env: fakeEnv(), Deadline: time.Minute}
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// newRunner returns a runner in a directory of its own and its events.
func newRunner(t *testing.T) (Runner, *[]Event) {
	t.Helper()
	events := new([]Event)
	return Runner{State: filepath.Join(t.TempDir(), "state [1]"), Observe: func(e Event) { *events = append(*events, e) }}, events
}

// awaitPID waits until a process has written its number.
func awaitPID(t *testing.T, file string) int {
	t.Helper()
	var pid int
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(string(b))
		}
		return err == nil
	}, time.Minute, 5*time.Millisecond, "%s was not written", file)
	t.Cleanup(func() { // whatever a failing test leaves
		if p, err := os.FindProcess(pid); err == nil && alive(pid) {
			_ = p.Kill()
		}
	})
	return pid
}

func alive(pid int) bool {
	_, ok := process.Lookup(pid)
	return ok
}

// put makes an empty file, which a fake installer waits for.
func put(t *testing.T, file string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, nil, 0o600))
}

// requireDead asserts that none of the processes lives.
func requireDead(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		require.False(t, alive(pid), "process %d is left", pid)
	}
}

// requireClean asserts that nothing but the lock and log files is left.
func requireClean(t *testing.T, r Runner) {
	t.Helper()
	left, err := os.ReadDir(r.State)
	require.NoError(t, err)
	for _, e := range left {
		if e.Name() != lockName && filepath.Ext(e.Name()) != ".log" {
			t.Errorf("%s is left in the state directory", e.Name())
		}
	}
}

// packagesVar is the variable with the directory of installers for Windows.
const packagesVar = "INSTALL_TEST_PACKAGES"
