package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
)

// A site is an installation in memory; a real one calls the packages backup
// and install, or the integrator's own tools.
type site struct {
	version rollback.Version
	data    string
	sealed  map[string]string
	broken  rollback.Version // a version that does not work
}

func (s *site) Close(context.Context) error { fmt.Println("users out"); return nil }
func (s *site) Open(context.Context) error  { fmt.Println("users in"); return nil }

func (s *site) Snapshot(context.Context) (string, error) {
	ref := fmt.Sprint("backup-", len(s.sealed)+1)
	s.sealed[ref] = s.data
	return ref, nil
}
func (s *site) Verify(_ context.Context, ref string) error {
	if _, ok := s.sealed[ref]; !ok {
		return errors.New("no such backup")
	}
	return nil
}
func (s *site) Restore(_ context.Context, ref string) error {
	s.data = s.sealed[ref]
	fmt.Println("data restored")
	return nil
}

func (s *site) Ready(context.Context, rollback.Release) error { return nil }
func (s *site) Install(_ context.Context, r rollback.Release) error {
	s.version, s.data = r.Version, "data of "+string(r.Version)
	fmt.Println("installed", r.Version)
	return nil
}
func (s *site) Settle(context.Context) (bool, error) { return false, nil }

func (s *site) check(context.Context) (rollback.Version, error) {
	if s.version == s.broken {
		return "", errors.New("internal server error")
	}
	return s.version, nil
}

func Example() {
	dir, err := os.MkdirTemp("", "state")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &site{version: "7.12.100", data: "data of 7.12.100", sealed: map[string]string{}, broken: "7.12.200"}
	u := &rollback.Update{
		Dir: dir,
		Parts: []rollback.Part{{
			Name:      "ASP",
			From:      rollback.Release{Version: "7.12.100", SHA256: "5f…", VouchedBy: "pinned hash"},
			To:        rollback.Release{Version: "7.12.200", SHA256: "c3…", VouchedBy: "pinned hash"},
			Installer: s,
			Probe:     rollback.Poll(s.check, time.Millisecond),
		}},
		Data:      []rollback.Dataset{{Name: "database", Data: s}},
		Fence:     s,
		Window:    rollback.AnyTime("an example"),
		Deadlines: rollback.Deadlines{Probe: 100 * time.Millisecond},
		Steady:    10 * time.Millisecond,
	}
	ctx := context.Background()
	if _, err := u.Recover(ctx); err != nil { // at every start
		fmt.Println(err)
		return
	}
	plan, err := u.Plan(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	res, _ := u.Run(ctx, plan)
	fmt.Println(res.Outcome, s.version, "with", s.data)
	// Output:
	// users out
	// installed 7.12.200
	// users out
	// data restored
	// installed 7.12.100
	// users in
	// rolled-back 7.12.100 with data of 7.12.100
}

// A person goes back to the previous version after the update was committed.
func ExampleUpdate_Revert() {
	dir, err := os.MkdirTemp("", "state")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &site{version: "7.12.100", data: "data of 7.12.100", sealed: map[string]string{}}
	update := func(from, to rollback.Release) *rollback.Update {
		return &rollback.Update{
			Dir:    dir,
			Parts:  []rollback.Part{{Name: "ASP", From: from, To: to, Installer: s, Probe: rollback.Poll(s.check, time.Millisecond)}},
			Data:   []rollback.Dataset{{Name: "database", Data: s}},
			Fence:  s,
			Window: rollback.AnyTime("an example"),
			Steady: 10 * time.Millisecond,
			Now:    func() time.Time { return time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC) },
		}
	}
	ctx := context.Background()
	u := update(rollback.Release{Version: "7.12.100"}, rollback.Release{Version: "7.12.200"})
	plan, err := u.Plan(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := u.Run(ctx, plan); err != nil {
		fmt.Println(err)
		return
	}
	s.data = "a day's work"

	st, err := rollback.ReadStatus(dir)
	if err != nil || st.RestorePoint == nil {
		fmt.Println("nothing to go back to", err)
		return
	}
	u = update(st.RestorePoint.Parts[0].From, st.RestorePoint.Parts[0].To)
	revert, err := u.PlanRevert(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(revert.Revert) // show it, and let a person give the plan's hash back
	res, err := u.Revert(ctx, revert.Hash, "the reports are empty")
	fmt.Println(res.Outcome, s.version, "with", s.data, err)
	fmt.Println("kept aside:", s.sealed[res.Refs["database"]])
	// Output:
	// users out
	// installed 7.12.200
	// users in
	// everything entered since 2026-03-04T10:00:00Z is kept aside in a snapshot and not merged
	// users out
	// data restored
	// installed 7.12.100
	// users in
	// committed 7.12.100 with data of 7.12.100 <nil>
	// kept aside: a day's work
}

func ExampleReadHistory() {
	records, err := rollback.ReadHistory("state of an installation that was never updated")
	fmt.Println(len(records), err)
	// Output: 0 <nil>
}

func ExampleReadStatus() {
	st, err := rollback.ReadStatus("state of an installation that was never updated")
	fmt.Println(st.Pending == nil, len(st.Committed), err)
	// Output: true 0 <nil>
}

func ExampleAnyTime() {
	u := rollback.Update{Window: rollback.AnyTime("the support is on the phone")}
	slot, err := u.Window.Next(context.Background(), time.Now())
	fmt.Println(slot.LatestStart.IsZero(), err)
	// Output: true <nil>
}
