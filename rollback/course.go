package rollback

import "context"

// A course is what an update and an operator's rollback do differently. They
// share the rest: lock, journal, steps, guards, and the rollback to the state
// before them.
type course interface {
	// verify reads back from the disk what is needed besides the snapshots
	// that were just made.
	verify(ctx context.Context, u *Update) error
	// forward does what the plan says after the guard, to the commit. After
	// a restart it goes on with what is left.
	forward(ctx context.Context, e *engine) (Result, error)
	// resume goes on after a crash between the first damage and the commit,
	// behind the closed fence. Ended reports whether an installer was left
	// running and came to its end. Stop ends a wait for answers.
	resume(ctx, stop context.Context, e *engine, ended bool) (Result, error)
	// unhealthy reports whether a part need not be healthy after a rollback.
	unhealthy(part string) bool
	// installed goes on once everything is installed.
	installed(ctx context.Context, e *engine) (Result, error)

	// What the state learns from the journal: that another process went on,
	// that this is committed, that it was rolled back.
	recovered(p *Pending)
	committed(s *Status, r record)
	// repaired is that a person accepted another version than either.
	repaired(s *Status, r record)
	rolledBack(s *Status, r record)
}

// updating is the course of an update.
type updating struct{}

func (updating) verify(context.Context, *Update) error                    { return nil }
func (updating) forward(ctx context.Context, e *engine) (Result, error)   { return e.installAll(ctx) }
func (updating) installed(ctx context.Context, e *engine) (Result, error) { return e.prove(ctx) }
func (updating) unhealthy(string) bool                                    { return false }
func (updating) recovered(*Pending)                                       {}
func (updating) committed(*Status, record)                                {}

func (c updating) repaired(s *Status, r record) {
	for _, part := range s.Pending.Plan.Parts {
		if !part.Keep && !s.Pending.commits(part).same(part.commits()) {
			s.quarantine(part.Name, part.To, r)
		}
	}
}

// rolledBack quarantines the releases that failed.
func (updating) rolledBack(s *Status, r record) {
	for _, part := range s.Pending.Plan.Parts {
		if !part.Keep {
			s.quarantine(part.Name, part.To, r)
		}
	}
}

// resume goes forward if the new version may be installed and is healthy.
func (updating) resume(ctx, stop context.Context, e *engine, ended bool) (Result, error) {
	p, deadlines := e.st.Pending, e.u.Deadlines
	switch {
	case p.Plan.all(p.installed) || p.Plan.all(p.begun) && ended:
		return e.decideByAnswers(ctx, stop, deadlines.probe())
	case p.Plan.all(p.begun) && p.Plan.sameVersion() == "":
		// The end of the last installer was not seen: it may have ended well,
		// or in the same power cut. The answers decide, and silence need not
		// last as long.
		return e.decideByAnswers(ctx, stop, min(deadlines.decide(), deadlines.probe()))
	}
	return e.rollBack(ctx, errInterrupted)
}
