package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRunningScreens compares what a terminal shows of a running step, here a restructuring that
// prints, with testdata/screens/running.txt: in both languages, with colors and without.
func TestRunningScreens(t *testing.T) {
	t.Parallel()
	screens := [2]string{}
	t.Run("terminals", func(t *testing.T) {
		for i, env := range []string{"LC_ALL=en NO_COLOR=", "LC_ALL=ru NO_COLOR=1"} {
			t.Run(env, func(t *testing.T) {
				t.Parallel()
				screens[i] = "$ " + env + "\n" + runningScreen(t, strings.Fields(env)...) + "\n"
			})
		}
	})
	if t.Failed() {
		return
	}
	got, file := strings.Join(screens[:], ""), filepath.Join("testdata", "screens", "running.txt")
	if *golden {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test -run TestRunningScreens -golden writes them anew")
}

// runningScreen updates a site on a terminal, and returns what that shows while a restructuring runs
// and when its line is gone.
func runningScreen(t *testing.T, env ...string) string {
	h := newHeldSite(t, "migrate")
	held := filepath.Join(h.own, "held.sh")
	text, err := os.ReadFile(held)
	require.NoError(t, err)
	h.write(held, `[ $1 != migrate ] || printf 'Таблица 3\nТаблица 4 из 9 \033[2J\n'`+"\n"+string(text))
	terminal, user := openTerminal(t)
	defer func() { _ = terminal.Close() }()
	cmd := exec.Command(program, "update", "--yes")
	cmd.Env = append(os.Environ(), append(env, "TERM=xterm", "SITE_FTP_PASSWORD="+h.server.Password, "ASPUPDATE_CONFIG="+h.config())...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = user, user, user
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, user.Close())
	seen := &terminalText{}
	go seen.read(terminal)
	line := regexp.MustCompile(`\r([^\r\n]*Таблица 4[^\r\n]*)\r`) // the next one has begun
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.After(2 * time.Minute); line.FindString(seen.String()) == ""; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			require.Fail(t, "the update ended first", "%v: %s", err, seen)
		case <-end:
			require.Fail(t, "the line is not shown", "%s", seen)
		default:
		}
	}
	shown := line.FindStringSubmatch(seen.String())[1]
	require.NoError(t, os.Remove(h.hold()))
	require.NoError(t, <-ended)
	h.last = ""
	return strings.ReplaceAll(regexp.MustCompile(`\d+:\d\d`).ReplaceAllString(shown, "$${CLOCK}"), "\x1b", "ESC")
}
