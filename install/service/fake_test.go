//go:build linux || windows

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The test binary plays the services of the tests, and the updater that is
// killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "as-service" {
		os.Exit(serve(os.Args[2]))
	}
	if len(os.Args) == 4 && os.Args[1] == "as-child" {
		d, _ := time.ParseDuration(os.Args[3])
		note(filepath.Join(os.Args[2], "child"))
		for over := time.Now().Add(d); time.Now().Before(over) && mode(os.Args[2]) != "end"; {
			time.Sleep(20 * time.Millisecond)
		}
		os.Exit(0)
	}
	if len(os.Args) == 5 && os.Args[1] == "as-updater" {
		updater(os.Args[2], os.Args[3], os.Args[4])
	}
	os.Exit(world(m))
}

// mode is what the service in dir is to do.
func mode(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, "mode"))
	return strings.TrimSpace(string(b))
}

func note(file string) {
	_ = os.WriteFile(file+".tmp", []byte(strconv.Itoa(os.Getpid())), 0o600)
	_ = os.Rename(file+".tmp", file)
}

// child starts a process that outlives the service by d, or until the mode is
// "end".
func child(dir string, d time.Duration) {
	exe, _ := os.Executable()
	cmd := exec.Command(exe, "as-child", dir, d.String())
	_ = realtest.Start(cmd)
	for range 100 {
		if _, err := os.Stat(filepath.Join(dir, "child")); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// updater closes and opens the service, and kills itself at the n-th step.
func updater(name, dir, n string) {
	left, _ := strconv.Atoi(n)
	s := Service{Name: name, Dir: dir, steady: 300 * time.Millisecond, Drain: func(context.Context) error { return nil }}
	s.step = func(string) {
		if left--; left == 0 {
			p, _ := os.FindProcess(os.Getpid())
			_ = p.Kill()
			time.Sleep(time.Minute)
		}
	}
	err := errors.Join(s.Close(context.Background()), s.Open(context.Background()))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A subject is a service of the test's own, and one that closes it.
type subject struct {
	*Service
	home string // the directory that the service itself reads
}

// newSubject makes a service with the autostart, and starts it if running.
func newSubject(t *testing.T, name, autostart string, running bool, needs ...string) subject {
	t.Helper()
	requireManager(t)
	s := subject{Service: &Service{Name: name, Dir: filepath.Join(t.TempDir(), "state"), steady: 300 * time.Millisecond}, home: t.TempDir()}
	s.mode(t, "run")
	create(t, name, s.home, needs...)
	t.Cleanup(func() {
		s.mode(t, "run") // one that does not end ends then
		remove(t, name)
	})
	s.mustBe(t, false, "")
	if running {
		require.NoError(t, start(t.Context(), name))
	}
	setAutostartTo(t, name, autostart)
	s.mustBe(t, running, autostart)
	return s
}

func (s subject) mode(t *testing.T, mode string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(s.home, "mode"), []byte(mode), 0o600))
}

// mustBe asserts how the service is, by other means than the package's where
// there are some.
func (s subject) mustBe(t *testing.T, running bool, autostart string) {
	t.Helper()
	st, err := Query(t.Context(), s.Name)
	require.NoError(t, err)
	require.True(t, st.Exists)
	require.Equal(t, running, st.Running, st.State)
	if autostart != "" {
		require.Equal(t, autostart, autostartOf(t, s.Name))
		require.Equal(t, autostart, st.Autostart)
	}
}

// pid waits for the number that a process of the service has written.
func (s subject) pid(t *testing.T, file string) int {
	t.Helper()
	var pid int
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(filepath.Join(s.home, file))
		if err == nil {
			pid, err = strconv.Atoi(string(b))
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	return pid
}
