package service

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrStays means: the service, or a process of it, has not ended in time.
	ErrStays = errors.New("it does not end")
	// ErrDied means: the service did not get to run, or did not stay running.
	ErrDied = errors.New("it does not stay running")
	// ErrDependents means: others depend on the service, or start it. Nothing
	// was stopped.
	ErrDependents = errors.New("others depend on it")
	// ErrMissing means: a service that was there is not there any more.
	ErrMissing = errors.New("there is no such service any more")
)

// An Error says what went wrong with a service, how it is now, and what to do.
type Error struct {
	Op    string // "close", "open", "stop", "start", "look"
	Name  string
	State string // in the words of the system; "" if that is not known
	Err   error
	Next  string // what to do
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s service %s: %v", e.Op, e.Name, e.Err)
	if e.State != "" {
		fmt.Fprintf(&b, " (it is %s)", e.State)
	}
	if e.Next != "" {
		fmt.Fprintf(&b, "; %s", e.Next)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// advised is a cause with what to do about it.
type advised struct {
	error
	next string
}

func (a advised) Unwrap() error { return a.error }

func advise(next string, err error) error { return advised{err, next} }
