package rollback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// errEnded is that of a call that came to no end of its own.
var errEnded = errors.New("the call ended its goroutine")

// A job is a step for one dataset, which may run beside those for others.
type job struct {
	part  string
	limit time.Duration // of call
	// call runs beside those of other jobs, so it must not use the engine. What it
	// returns is journaled with the end of the step.
	call func(context.Context) (record, error)
	// then is called by the engine once call has succeeded, and may use it; may be nil.
	then func(context.Context, record) error
	// spare is a job whose failure is journaled and fails nothing.
	spare bool
}

// An end is how one job ended.
type end struct {
	job
	done     record
	err      error
	panicked any
}

// errAnother is why a job is canceled that has not failed itself.
var errAnother = errors.New("another one failed")

// progressInterval is the time between two notes of how far several jobs are.
const progressInterval = time.Minute

// abreast runs the jobs of a step, [Update].Parallel at a time, each with its own begin
// and end in the journal. After the first failure no other begins. Hasty cancels
// those in progress; otherwise they come to their own end. When it returns, all have.
func (e *engine) abreast(ctx context.Context, step Step, jobs []job, hasty bool) error {
	together, cancel := context.WithCancelCause(ctx)
	ends, tick := make(chan end, len(jobs)), time.NewTicker(progressInterval)
	defer tick.Stop()
	total, done, running := len(jobs), 0, map[string]time.Time{}
	var usually map[string]time.Duration
	if step == stepMigrate {
		usually = lastMigrations(historyOf(e.j.records))
	}
	defer func() { // also after a panic
		cancel(errAnother)
		for range running {
			<-ends
		}
	}()
	var failure error
	fail := func(err error) {
		if failure != nil && e.j.broken == nil && canceled(err) {
			return // the journal has it; it says no more than the failure
		}
		failure = errors.Join(failure, err)
		if hasty {
			cancel(errAnother)
		}
	}
	for {
		for failure == nil && len(jobs) > 0 && len(running) < max(e.u.Parallel, 1) {
			j := jobs[0]
			jobs = jobs[1:]
			if err := e.began(step, j.part); err != nil {
				fail(err)
				break
			}
			running[j.part] = time.Now()
			go j.run(together, step, ends)
		}
		if len(running) == 0 {
			return failure
		}
		select {
		case j := <-ends:
			delete(running, j.part)
			if err := e.jobEnded(ctx, step, j); err != nil {
				fail(err)
				continue
			}
			done++
		case <-tick.C:
			if total > 1 && (e.u.Parallel > 1 || step == stepMigrate) { // else the steps in the journal say it
				e.note(step, fmt.Sprintf("%s: %d of %d done, in progress: %s", step, done, total, lasting(running, usually)))
			}
		}
	}
}

// canceled reports whether a job has failed because another one has, or because it was stopped.
func canceled(err error) bool {
	return errors.Is(err, errAnother) || errors.Is(err, context.Canceled)
}

// run calls a job and then says how it ended, also where that ended its goroutine.
func (j job) run(ctx context.Context, step Step, ends chan<- end) {
	result := end{job: j, err: errEnded}
	defer func() {
		result.panicked = recover()
		ends <- result
	}()
	ctx, cancel := limited(ctx, step, j.limit)
	defer cancel()
	result.done, result.err = j.call(ctx)
}

// jobEnded completes a job and journals its end. A panic of a role is the caller's, as
// that of any other role.
func (e *engine) jobEnded(ctx context.Context, step Step, j end) error {
	if j.panicked != nil {
		panic(j.panicked)
	}
	if j.err == nil && j.then != nil {
		j.err = j.then(ctx, j.done)
	}
	err := e.ended(step, j.part, j.done, j.err)
	if j.spare && e.j.broken == nil {
		return nil
	}
	return err
}

// each calls call with each number below n, [Update].Parallel at a time and none of them in
// the journal, and returns when all have returned. A panic is the caller's.
func (u *Update) each(n int, call func(i int)) {
	panics := make([]any, n)
	free := make(chan struct{}, max(u.Parallel, 1))
	var calls sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		calls.Go(func() {
			defer func() {
				panics[i] = recover()
				<-free
			}()
			call(i)
		})
	}
	calls.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
}

// lasting lists what is in progress, for how long, and how long that took the last time.
func lasting(running map[string]time.Time, usually map[string]time.Duration) string {
	var list []string
	for name, since := range running {
		text := fmt.Sprintf("%s has taken %s", name, time.Since(since).Round(time.Second))
		if last := usually[name]; last > 0 {
			text += fmt.Sprintf(", the last time %s", last.Round(time.Second))
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// lastMigrations returns how long each migration took the last time that it came to its end.
func lastMigrations(entries []HistoryEntry) map[string]time.Duration {
	took := map[string]time.Duration{}
	for _, e := range entries {
		maps.Copy(took, e.Migrated)
	}
	return took
}
