package service

import "context"

// A Status is the state of a service.
type Status struct {
	Exists    bool
	Running   bool   // it runs, or is about to
	State     string // in the system's words: "active (running), enabled", "stopped, manual"
	Autostart string // in the system's words: "enabled", "automatic (delayed)"

	changing bool   // between two states
	exit     string // how it ended, if it has
	run      string // changes with each start
	root     string // its control group, or on Windows the number of its own process; "" if it has none
	cannot   string // why it could not be put back as it is; "" if it can
}

// Query returns the state of the service with the name. A service that does
// not exist is not an error.
func Query(ctx context.Context, name string) (Status, error) {
	st, err := query(ctx, name)
	if err != nil {
		return Status{}, &Error{Op: "query service", Subject: name, Err: err}
	}
	return st, nil
}
