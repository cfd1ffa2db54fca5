package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/notify"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/rollback"
)

// Users are notified before they are kept out. What they were notified is on the disk before the command
// runs, so that a process that was killed neither notifies them twice nor leaves them waiting for what
// does not come: see settleAnnounced.

// announceLimit is how long the command may take.
const announceLimit = time.Minute

// An announced is what users were notified.
type announced struct {
	Plan         string        `json:"plan"` // its hash
	At           time.Time     `json:"at"`
	Begins       time.Time     `json:"begins"`     // when users are kept out, UTC
	Longest      time.Duration `json:"longest_ns"` // for how long at most; 0 if that is not known
	Distribution string        `json:"distribution"`
	Version      string        `json:"version"`
}

func (j *job) announceDir() string { return filepath.Join(j.Config.State, "announce") }

func (j *job) announcedFile() string { return filepath.Join(j.announceDir(), "announced.json") }

// announces reports whether users are notified before a command that puts them out.
func (j *job) announces() bool { return len(j.Config.Announce.Command) > 0 && !j.First }

// announced notifies users, waits for the lead time, and runs what puts them out.
func (j *job) announced(ctx context.Context, plan rollback.Plan, longest, lead time.Duration, run func(context.Context) (rollback.Result, error)) (rollback.Result, error) {
	begins := time.Now().Add(lead)
	late := !plan.Slot.LatestStart.IsZero() && begins.After(plan.Slot.LatestStart)
	switch {
	case !j.announces(), plan.Slot.Start.After(begins): // the window opens later: run refuses
		return run(ctx)
	case late:
		return rollback.Result{Outcome: rollback.Nothing}, &rollback.Error{
			Reason: rollback.ReasonWindow,
			Err:    fmt.Errorf("R13: users are notified %s ahead, and so would be kept out from %s on, after %s", lead, j.show.Time(begins), j.show.Time(plan.Slot.LatestStart)),
			Next:   "start it earlier, or in the next slot",
		}
	}
	lock, err := rollback.Acquire(j.announceDir(), "announcing an update", time.Now())
	if err != nil {
		return rollback.Result{Outcome: rollback.Nothing}, err
	}
	defer func() { _ = lock.Release() }()
	if err := j.await(ctx, j.announce(ctx, plan, longest, begins)); err != nil {
		return rollback.Result{Outcome: rollback.Nothing}, err
	}
	return run(ctx)
}

// announce notifies users when they are kept out, unless a process that was killed notified them the same, and
// returns that time.
func (j *job) announce(ctx context.Context, plan rollback.Plan, longest time.Duration, begins time.Time) time.Time {
	old, err := j.readAnnounced()
	if err != nil {
		j.show.line("%v", err) // and written anew
	}
	if old != nil {
		fits := plan.Slot.LatestStart.IsZero() || !old.Begins.After(plan.Slot.LatestStart)
		if old.Plan == plan.Hash && old.Begins.After(time.Now()) && fits {
			return old.Begins
		}
		j.cancelAnnounced(ctx, *old)
	}
	a := announced{Plan: plan.Hash, At: time.Now().UTC(), Begins: begins.UTC(), Longest: longest}
	var names []string
	for _, part := range plan.Parts {
		if part.Keep {
			continue
		}
		names = append(names, part.Name+" "+string(part.To.Version))
		if a.Distribution == "" {
			a.Distribution, a.Version = part.Name, string(part.To.Version)
		}
	}
	text, err := json.Marshal(a)
	if err == nil {
		err = durable.WriteFile(j.announcedFile(), text, 0o600)
	}
	if err != nil { // without it a process that is killed would leave users waiting
		j.show.line("users are not notified, since that cannot be recorded: %v", err)
		return time.Now()
	}
	out := "for how long is not known"
	if longest > 0 {
		out = "users out for at most " + span(longest)
	}
	j.sendAnnouncement(ctx, "announced", a, fmt.Sprintf("users are kept out from %s on", j.show.Time(begins)), "update to "+strings.Join(names, ", "), out)
	return begins
}

// await waits until users are kept out.
func (j *job) await(ctx context.Context, begins time.Time) error {
	left := time.Until(begins)
	if left <= 0 {
		return nil
	}
	j.show.line("users were notified that they are kept out from %s on; waiting for that", j.show.Time(begins))
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopped before users were kept out: %w", context.Cause(ctx))
	}
}

// sendAnnouncement runs the command. A failure is notified, and nothing waits for it.
func (j *job) sendAnnouncement(ctx context.Context, kind string, a announced, subject string, text ...string) bool {
	m := j.message(kind, fmt.Sprintf("announce/%s/%d/%s", a.Plan, a.At.Unix(), kind), time.Now(), subject, text...)
	m.Fields["ASPUPDATE_BEGINS"] = a.Begins.Format(time.RFC3339)
	m.Fields["ASPUPDATE_DISTRIBUTION"], m.Fields["ASPUPDATE_VERSION"] = a.Distribution, a.Version
	if a.Longest > 0 {
		m.Fields["ASPUPDATE_MINUTES"] = strconv.Itoa(int((a.Longest + time.Minute - 1) / time.Minute))
	}
	ctx, cancel := context.WithTimeout(ctx, announceLimit)
	defer cancel()
	c := notify.Command{Argv: j.Config.Announce.Command, Environment: j.Config.Announce.Environment, State: filepath.Join(j.announceDir(), "commands")}
	if err := c.Run(ctx, m); err != nil {
		j.show.line("announce.command failed (%s), and the update does not wait for it: %v", kind, err)
		return false
	}
	return true
}

// cancelAnnounced notifies users that they are not kept out. It is tried again by the next command, for a day.
func (j *job) cancelAnnounced(ctx context.Context, a announced) {
	ok := j.sendAnnouncement(context.WithoutCancel(ctx), "canceled", a, fmt.Sprintf("users are not kept out, as was announced for %s, or not any more", j.show.Time(a.Begins)))
	if !ok && time.Since(a.Begins) < 24*time.Hour {
		return
	}
	if err := durable.Remove(j.announcedFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.show.line("cannot remove the record of an announcement, so that it is canceled again: %v", err)
	}
}

// readAnnounced returns what users were notified, nil if nothing or nothing that is still of interest.
func (j *job) readAnnounced() (*announced, error) {
	text, err := durable.ReadFile(j.announcedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	var a announced
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the record of an announcement, %s: %w", j.announcedFile(), err)
	}
	return &a, nil
}

// announcing runs a command, and then notifies users if what they were notified of does not come.
func announcing(do func(context.Context, *job) error) func(context.Context, *job) error {
	return func(ctx context.Context, j *job) error {
		err := do(ctx, j)
		if len(j.Config.Announce.Command) > 0 {
			if aerr := j.settleAnnounced(context.WithoutCancel(ctx)); aerr != nil { // after Ctrl-C, too
				j.show.line("%v", aerr)
			}
		}
		return err
	}
}

// settleAnnounced decides by the journal what came of what users were notified. A process that still waits
// does so itself.
func (j *job) settleAnnounced(ctx context.Context) error {
	if a, err := j.readAnnounced(); a == nil {
		return err
	}
	lock, err := rollback.Acquire(j.announceDir(), "canceling an announcement", time.Now())
	if errors.Is(err, rollback.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	a, err := j.readAnnounced()
	if a == nil {
		return err
	}
	st, err := j.Status()
	if err != nil || st.Pending != nil { // its end decides
		return err
	}
	history, err := rollback.ReadHistory(j.Config.State)
	if err != nil {
		return err
	}
	for _, h := range history {
		if h.Step == "intent" && !h.Time.Before(a.At.Truncate(time.Second)) && h.Outcome != rollback.Abandoned {
			return durable.Remove(j.announcedFile())
		}
	}
	j.cancelAnnounced(ctx, *a)
	return nil
}
