package service

import (
	"context"
	"errors"
)

// state is what the system's service manager reports of a service.
type state struct {
	exists    bool
	running   bool   // it runs, or is about to
	changing  bool   // between two states
	text      string // for people, in the manager's words
	exit      string // how it ended, if it has
	run       string // changes with each start
	autostart string // in the manager's words
	root      string // its control group, or on Windows the number of its own process; "" if it has none
	cannot    string // why it could not be put back as it is; "" if it can
}

// restorable returns an error if what was found could not be brought back.
func (st state) restorable() error {
	if st.cannot == "" {
		return nil
	}
	return advise("nothing was changed", errors.New(st.cannot))
}

// A Status is the state of a service.
type Status struct {
	Exists    bool
	Running   bool   // it runs, or is about to
	State     string // in the system's words: "active (running)", "stopped"
	Autostart string // in the system's words: "enabled", "automatic (delayed)"
}

// Query returns the state of the service with the name. A service that does
// not exist is no error.
func Query(ctx context.Context, name string) (Status, error) {
	st, err := query(ctx, name)
	if err != nil {
		return Status{}, &Error{Op: "query service", Subject: name, Err: err}
	}
	return Status{Exists: st.exists, Running: st.running, State: st.text, Autostart: st.autostart}, nil
}
