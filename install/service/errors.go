package service

import (
	"errors"
	"fmt"
)

var (
	// ErrNotStopped means that the service, or a process of it, did not end in
	// time.
	ErrNotStopped = errors.New("the service did not stop")
	// ErrNotRunning means that the service did not start, or did not stay
	// running.
	ErrNotRunning = errors.New("the service does not stay running")
	// ErrDependents means that other services or units depend on the service,
	// or start it. Nothing was stopped.
	ErrDependents = errors.New("other services depend on it")
	errNotFound   = errors.New("the service does not exist any more")
)

// An Error is a failed operation on a service.
type Error struct {
	Op      string // "close service", "open service", "stop service", "start service", "query service"
	Subject string // the service's name
	Err     error
	Next    string // what to do next; "" if nothing is known

	state string // of the service, in the words of the system; "" if it is not known
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %v", e.Op, e.Subject, e.Err)
	if e.state != "" {
		text += fmt.Sprintf(" (now %s)", e.state)
	}
	if e.Next != "" {
		text += "; " + e.Next
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// advised is a cause with the next step.
type advised struct {
	error
	next string
}

func (a advised) Unwrap() error { return a.error }

func advise(next string, err error) error { return advised{err, next} }
