package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"github.com/aspupdate/aspupdate/internal/process"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

func world(m *testing.M) int { return m.Run() }

// requireManager skips where services may not be made.
func requireManager(t *testing.T) {
	t.Helper()
	m, err := mgr.Connect()
	if err != nil {
		realtest.Skip(t, "services cannot be made here: %v", err)
	}
	_ = m.Disconnect()
}

// serve is a service's process.
func serve(dir string) int {
	note(filepath.Join(dir, "pid"))
	if err := svc.Run("", handler(dir)); err != nil {
		return 9
	}
	return 0
}

type handler string

func (h handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (own bool, code uint32) {
	dir := string(h)
	status <- svc.Status{State: svc.StartPending}
	what := mode(dir)
	if what == "die" {
		return true, 3
	}
	if strings.HasPrefix(what, "child=") {
		d, _ := time.ParseDuration(what[6:])
		child(dir, d)
	}
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop}
	if what == "die later" {
		time.Sleep(100 * time.Millisecond)
		return true, 3
	}
	for r := range requests {
		if r.Cmd == svc.Stop {
			break
		}
		status <- r.CurrentStatus
	}
	status <- svc.Status{State: svc.StopPending}
	for mode(dir) == "stay" {
		time.Sleep(20 * time.Millisecond)
	}
	return false, 0
}

func create(t *testing.T, name, home string, needs ...string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	m, err := mgr.Connect()
	require.NoError(t, err)
	defer func() { _ = m.Disconnect() }()
	s, err := m.CreateService(name, exe, mgr.Config{StartType: mgr.StartManual, Dependencies: needs}, "as-service", home)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func remove(t *testing.T, name string) {
	t.Helper()
	m, err := mgr.Connect()
	require.NoError(t, err)
	defer func() { _ = m.Disconnect() }()
	s, err := m.OpenService(name)
	if err != nil {
		return
	}
	_, _ = s.Control(svc.Stop)
	for range 200 {
		if st, err := s.Query(); err != nil || st.State == svc.Stopped {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	require.NoError(t, s.Delete())
	require.NoError(t, s.Close())
	for range 100 {
		if st, err := Query(t.Context(), name); err == nil && !st.Exists {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// autostarts leaves out the delay where this Windows does not know it.
func autostarts(t *testing.T) []string {
	t.Helper()
	return []string{automatic, manual, disabled}
}

func off(autostart string) string {
	if autostart == automatic || autostart == delayed {
		return manual
	}
	return autostart
}

func setAutostartTo(t *testing.T, name, autostart string) {
	t.Helper()
	require.NoError(t, with(name, rightsToChange, func(s *mgr.Service) error {
		return windows.ChangeServiceConfig(s.Handle, windows.SERVICE_NO_CHANGE, map[string]uint32{automatic: 2, manual: 3, disabled: 4}[autostart],
			windows.SERVICE_NO_CHANGE, nil, nil, nil, nil, nil, nil, nil)
	}))
}

// autostartOf reads what is kept for the machine's next start.
func autostartOf(t *testing.T, name string) string {
	t.Helper()
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Services\`+name, registry.QUERY_VALUE)
	require.NoError(t, err)
	defer func() { _ = k.Close() }()
	v, _, err := k.GetIntegerValue("Start")
	require.NoError(t, err)
	return map[uint64]string{2: automatic, 3: manual, 4: disabled}[v]
}

func lives(pid int) bool {
	_, ok := process.Lookup(pid)
	return ok
}

// Delayed autostart comes back, where this Windows knows it.
func TestDelayedAutostart(t *testing.T) {
	s := newSubject(t, "asp-delayed", automatic, true)
	err := change(s.Name, func(m *mgr.Service) error { return setAutostart(m, delayed) })
	if st, queryErr := Query(t.Context(), s.Name); err != nil || queryErr != nil || st.Autostart != delayed {
		t.Skipf("this Windows knows no delayed autostart: %v %v %+v", err, queryErr, st)
	}
	require.NoError(t, s.Close(t.Context()))
	st, err := Query(t.Context(), s.Name)
	require.NoError(t, err)
	require.Equal(t, manual, st.Autostart)
	require.NoError(t, s.Open(t.Context()))
	st, err = Query(t.Context(), s.Name)
	require.NoError(t, err)
	require.Equal(t, delayed, st.Autostart)
	require.True(t, st.Running)
}

// requireDependents skips where Windows cannot list them, as Wine 8 cannot.
func requireDependents(t *testing.T, name string) {
	t.Helper()
	if all, err := dependents(t.Context(), name); err == nil && len(all) == 0 {
		t.Skip("this Windows does not list the services that depend on another")
	}
}
