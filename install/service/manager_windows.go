package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"github.com/aspupdate/aspupdate/internal/process"
)

// The ways to start, as a state and a record name them.
const (
	automatic = "automatic"
	delayed   = "automatic (delayed)"
	manual    = "manual"
	disabled  = "disabled"
)

const (
	rightsToQuery  = windows.SERVICE_QUERY_STATUS | windows.SERVICE_QUERY_CONFIG | windows.SERVICE_ENUMERATE_DEPENDENTS
	rightsToChange = rightsToQuery | windows.SERVICE_CHANGE_CONFIG | windows.SERVICE_START | windows.SERVICE_STOP
)

// with calls do with the service, or with nil if there is none.
func with(name string, rights uint32, do func(*mgr.Service) error) error {
	if name == "" {
		return errors.New("the service has no name; use the one that the command sc shows")
	}
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return err
	}
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseServiceHandle(manager) }()
	h, err := windows.OpenService(manager, p, rights)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return do(nil)
	}
	if err != nil {
		return err
	}
	s := &mgr.Service{Name: name, Handle: h}
	defer func() { _ = s.Close() }()
	return do(s)
}

// change calls do with a service that must exist.
func change(name string, do func(*mgr.Service) error) error {
	return with(name, rightsToChange, func(s *mgr.Service) error {
		if s == nil {
			return errNotFound
		}
		return do(s)
	})
}

func query(_ context.Context, name string) (st Status, err error) {
	err = with(name, rightsToQuery, func(s *mgr.Service) error {
		if s == nil {
			st.State = "not found"
			return nil
		}
		st.Exists = true
		status, err := s.Query()
		if err != nil {
			return err
		}
		config, err := configOf(s)
		if err != nil {
			return err
		}
		st.Running = status.State != svc.Stopped && status.State != svc.StopPending
		st.changing = status.State != svc.Stopped && status.State != svc.Running && status.State != svc.Paused
		st.Autostart = config.autostart
		st.run = strconv.FormatUint(uint64(status.ProcessId), 10)
		words := map[svc.State]string{
			svc.Stopped: "stopped", svc.StartPending: "starting", svc.StopPending: "stopping", svc.Running: "running",
			svc.ContinuePending: "continuing", svc.PausePending: "pausing", svc.Paused: "paused",
		}
		st.State = words[status.State] + ", " + st.Autostart
		st.exit = fmt.Sprintf("exit code %d", status.Win32ExitCode)
		if status.Win32ExitCode == uint32(windows.ERROR_SERVICE_SPECIFIC_ERROR) {
			st.exit = fmt.Sprintf("service-specific exit code %d", status.ServiceSpecificExitCode)
		}
		if config.kind&windows.SERVICE_WIN32_OWN_PROCESS != 0 && status.ProcessId != 0 {
			st.root = st.run
		}
		switch {
		case config.kind&windows.SERVICE_WIN32 == 0:
			st.cannot = "the service is a driver"
		case status.State == svc.Paused || status.State == svc.PausePending:
			st.cannot = "the service is paused: stop or resume it"
		}
		return nil
	})
	return st, err
}

// links returns nothing: only systemd has links.
func links(context.Context, string) (wantedBy, requiredBy []string, err error) { return nil, nil, nil }

// config holds the settings of a service that matter here.
type config struct {
	kind      uint32
	autostart string
}

func configOf(s *mgr.Service) (config, error) {
	n := uint32(8 << 10) // the largest that Windows returns
	b := make([]byte, n)
	q := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&b[0]))
	if err := windows.QueryServiceConfig(s.Handle, q, n, &n); err != nil {
		return config{}, err
	}
	c := config{kind: q.ServiceType}
	switch q.StartType {
	case windows.SERVICE_AUTO_START:
		c.autostart = automatic
		if d := (windows.SERVICE_DELAYED_AUTO_START_INFO{}); windows.QueryServiceConfig2(s.Handle, windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO,
			(*byte)(unsafe.Pointer(&d)), uint32(unsafe.Sizeof(d)), &n) == nil && d.IsDelayedAutoStartUp != 0 { // a Windows without delays fails here
			c.autostart = delayed
		}
	case windows.SERVICE_DEMAND_START:
		c.autostart = manual
	case windows.SERVICE_DISABLED:
		c.autostart = disabled
	default:
		c.autostart = "with the system"
	}
	return c, nil
}

// setAutostart changes how a service starts, and nothing else.
func setAutostart(s *mgr.Service, autostart string) error {
	types := map[string]uint32{automatic: windows.SERVICE_AUTO_START, delayed: windows.SERVICE_AUTO_START, manual: windows.SERVICE_DEMAND_START, disabled: windows.SERVICE_DISABLED}
	now, err := configOf(s)
	if err != nil || now.autostart == autostart {
		return err
	}
	start, ok := types[autostart]
	if !ok {
		return fmt.Errorf("the start type %q cannot be set", autostart)
	}
	err = windows.ChangeServiceConfig(s.Handle, windows.SERVICE_NO_CHANGE, start, windows.SERVICE_NO_CHANGE, nil, nil, nil, nil, nil, nil, nil)
	if err != nil || start != windows.SERVICE_AUTO_START {
		return err // the delay has no effect then and stays as it is
	}
	if now, err = configOf(s); err != nil || now.autostart == autostart {
		return err
	}
	d := windows.SERVICE_DELAYED_AUTO_START_INFO{}
	if autostart == delayed {
		d.IsDelayedAutoStartUp = 1
	}
	return windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, (*byte)(unsafe.Pointer(&d)))
}

// dependents lists the services that must be stopped before it.
func dependents(_ context.Context, name string) (list []string, err error) {
	err = with(name, rightsToQuery, func(s *mgr.Service) error {
		if s == nil {
			return nil
		}
		list, err = s.ListDependentServices(svc.Active)
		return err
	})
	return list, err
}

// starters lists the services that would start it with the machine.
func starters(ctx context.Context, name string) ([]string, error) {
	var all, list []string
	err := with(name, rightsToQuery, func(s *mgr.Service) (err error) {
		if s != nil {
			all, err = s.ListDependentServices(svc.AnyActivity)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, other := range all {
		st, err := query(ctx, other)
		if err != nil {
			return nil, err
		}
		if st.Autostart != manual && st.Autostart != disabled {
			list = append(list, other)
		}
	}
	return list, nil
}

func autostartOff(_ context.Context, name string, st Status) error {
	if st.Autostart != automatic && st.Autostart != delayed {
		return nil
	}
	return change(name, func(s *mgr.Service) error { return setAutostart(s, manual) })
}

func autostartAs(_ context.Context, name string, f found) error {
	return change(name, func(s *mgr.Service) error { return setAutostart(s, f.Autostart) })
}

// autostartOn has the service start with the machine.
func autostartOn(_ context.Context, name string) error {
	return change(name, func(s *mgr.Service) error { return setAutostart(s, automatic) })
}

// stop requests a stop as soon as the service accepts one.
func stop(ctx context.Context, name string) error {
	for {
		err := change(name, func(s *mgr.Service) error {
			status, err := s.Query()
			if err != nil || status.State == svc.Stopped || status.State == svc.StopPending {
				return err
			}
			_, err = s.Control(svc.Stop)
			return err
		})
		busy := errors.Is(err, windows.ERROR_SERVICE_CANNOT_ACCEPT_CTRL) || errors.Is(err, windows.ERROR_SERVICE_REQUEST_TIMEOUT)
		if errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
			return nil
		}
		if !busy || !pause(ctx) {
			return err
		}
	}
}

// start starts the service. One that is disabled was found running, and is
// enabled for the moment of its start.
func start(ctx context.Context, name string) error {
	for again := startRetries; ; {
		err := change(name, func(s *mgr.Service) error {
			c, err := configOf(s)
			if err != nil {
				return err
			}
			if c.autostart == disabled {
				if err := setAutostart(s, manual); err != nil {
					return err
				}
				return errors.Join(s.Start(), setAutostart(s, disabled))
			}
			return s.Start()
		})
		if errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
			st, queryErr := query(ctx, name)
			if queryErr != nil || st.Running {
				return queryErr
			}
			// It is stopping.
			if pause(ctx) {
				continue
			}
		}
		// The system could not create the process, which did not run then. This
		// happens under Wine when another process was just killed.
		if errors.Is(err, windows.ERROR_INTERNAL_ERROR) && again > 0 && pause(ctx) {
			again--
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return nil
	}
}

// startRetries bounds how often a start is repeated that failed in the system.
const startRetries = 3

// members are the service's own process and those that descend from it.
func members(st Status) []string {
	root, err := strconv.ParseUint(st.root, 10, 31)
	if err != nil {
		return nil
	}
	list := []string{}
	found, _ := process.Descendants(int(root)) // the root alone, if the others cannot be listed
	for _, m := range found {
		list = append(list, m.String())
	}
	slices.Sort(list)
	return list
}

// alive lists the processes that have not ended.
func alive(members []string) ([]string, error) {
	var list []string
	for _, text := range members {
		m, err := process.ParseMember(text)
		if err != nil {
			return nil, err
		}
		if m.Alive() {
			list = append(list, fmt.Sprintf("process %d", m.PID))
		}
	}
	return list, nil
}
