package main

import (
	"context"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// window is the gate of R13: the support's hours, wide enough for the site's
// estimate.
type window struct {
	planner  schedule.Planner
	estimate schedule.Estimate
}

func (w window) Next(_ context.Context, now time.Time) (rollback.Slot, error) {
	slot, err := w.planner.Next(now, w.estimate)
	return rollback.Slot{Start: slot.Start, LatestStart: slot.LatestStart}, err
}

// Fits is asked just before the first damage, when the backup is done.
func (w window) Fits(_ context.Context, now time.Time) error {
	rest := w.estimate
	rest.BackupDone = true
	return w.planner.Fits(now, rest)
}

func (w windowConfig) window(firstOfYear bool) rollback.Window {
	if w.AnyTime != "" {
		return rollback.AnyTime(w.AnyTime)
	}
	e := schedule.Estimate{
		Backup: time.Duration(w.Backup), Checks: time.Duration(w.Checks), Rollback: time.Duration(w.Rollback),
		FirstOfYear: firstOfYear, FirstOfYearExtra: time.Duration(w.FirstOfYearExtra),
	}
	if w.Typical {
		e.Case = schedule.Typical
	}
	return window{schedule.Planner{Local: w.zone()}, e}
}

// zone is the site's, nil if it is Moscow's.
func (w windowConfig) zone() *time.Location {
	zone, err := schedule.ParseZone(w.Local)
	if err != nil || zone == schedule.MSK(0) { // an error was told when the config was read
		return nil
	}
	return zone
}

// crossesYear reports whether R14 applies to one of the parts.
func crossesYear(parts []rollback.PlanPart) (bool, error) {
	for _, p := range parts {
		from, err := parseOrZero(p.From.Version)
		if err != nil {
			return false, err
		}
		to, err := parseOrZero(p.To.Version)
		if err != nil {
			return false, err
		}
		if crosses, err := (schedule.Numbering{}).CrossesYear(from, to); crosses || err != nil {
			return crosses, err
		}
	}
	return false, nil
}

// parseOrZero parses a version; no text is no version.
func parseOrZero(s string) (v version.Version, err error) {
	if s != "" {
		v, err = version.Parse(s)
	}
	return v, err
}
