package service

import (
	"errors"
	"fmt"
	"strings"
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
	// ErrNotFound means that a service that existed does not exist any more.
	ErrNotFound = errors.New("the service does not exist any more")
)

// An Error is a failed operation on a service.
type Error struct {
	Op      string // "close service", "open service", "stop service", "start service", "query service"
	Subject string // the service's name
	State   string // of the service, in the words of the system; "" if it is not known
	Err     error
	Next    string // what to do next; "" if nothing is known
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %v", e.Op, e.Subject, e.Err)
	if e.State != "" {
		fmt.Fprintf(&b, " (now %s)", e.State)
	}
	if e.Next != "" {
		fmt.Fprintf(&b, "; %s", e.Next)
	}
	return b.String()
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
