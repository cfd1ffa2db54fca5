package service

import (
	"context"
	"errors"
	"fmt"
)

// state is what the system's manager of services tells of one.
type state struct {
	exists    bool
	running   bool   // it runs, or is on its way to
	moving    bool   // on its way from one state to another
	word      string // for people, in the manager's words
	last      string // how it ended, if it has
	run       string // changes whenever it is started anew
	autostart string // in the manager's words
	root      string // its control group, or the number of its own process on Windows; "" if it has none
	cannot    string // why it could not be put back as it is; "" if it can
}

// restorable fails where what was found could not be brought back.
func (st state) restorable() error {
	if st.cannot == "" {
		return nil
	}
	return advise("nothing was changed", errors.New(st.cannot))
}

// A Status is how a service is.
type Status struct {
	Exists    bool
	Running   bool   // it runs, or is on its way to
	State     string // in the system's words: "active (running)", "stopped"
	Autostart string // in the system's words: "enabled", "automatic (delayed)"
}

// Look tells how a service is. That there is none is no error.
func Look(ctx context.Context, name string) (Status, error) {
	st, err := look(ctx, name)
	if err != nil {
		return Status{}, &Error{Op: "look", Name: name, Err: err}
	}
	return Status{Exists: st.exists, Running: st.running, State: st.word, Autostart: st.autostart}, nil
}

// A Probe asks another probe for the version of an application, and fails as
// long as the service is not running: what answers then is something else.
type Probe struct {
	Service string
	Then    interface {
		Version(ctx context.Context) (string, error)
	}
}

// Version takes one look at the service, one at the application, and again
// one at the service, which must not have been started anew meanwhile.
func (p Probe) Version(ctx context.Context) (string, error) {
	if p.Then == nil {
		return "", &Error{Op: "look", Name: p.Service, Err: errors.New("a running service tells no version"), Next: "set Then to a probe that does"}
	}
	before, err := p.running(ctx)
	if err != nil {
		return "", err
	}
	version, err := p.Then.Version(ctx)
	if err != nil {
		return "", err
	}
	after, err := p.running(ctx)
	if err == nil && after != before {
		err = &Error{Op: "look", Name: p.Service, Err: ErrDied}
	}
	if err != nil {
		return "", err
	}
	return version, nil
}

func (p Probe) running(ctx context.Context) (run string, err error) {
	st, err := look(ctx, p.Service)
	switch {
	case err != nil:
	case !st.exists:
		err = errors.New("there is no such service")
	case !st.running || st.moving:
		err = errors.New("it is not running")
		if st.last != "" {
			err = fmt.Errorf("it is not running: %s", st.last)
		}
	default:
		return st.run, nil
	}
	return "", &Error{Op: "look", Name: p.Service, State: st.word, Err: err}
}
