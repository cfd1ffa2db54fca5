// Package schedule computes when the vendor releases, and when an update may run:
// the rules R1, R2, R5, R6 and R11 to R14 of the update regulation.
//
// It has four types. Their zero values follow the regulation, their fields
// set what differs at a site or at its support:
//
//   - [Numbering]: which month is version 7.12.100 of? Does an update cross a
//     new year?
//   - [Calendar]: which release is expected when, is it late, and when to
//     check again?
//   - [Hours]: is there support at a time, and when next? How much support time
//     is between two times?
//   - [Planner]: when does a whole update fit, and why not sooner?
//
// The shortest use is:
//
//	estimate := schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}
//	var planner schedule.Planner
//	slot, err := planner.Next(now, estimate) // start from slot.Start to slot.LatestStart
//	...
//	err = planner.Fits(now, estimate) // right before the start: nil, or why it does not fit
//
// # Days off
//
// [Workdays] has the working days: by default [Russia], the production calendar
// of 2019 to 2027, derived from the government's decrees and three rules of law.
// A file can add days off and the decree of another year ([Production.Load]).
// Beyond the data the result is [ErrBeyondData], never a guess that Monday to
// Friday are working days.
//
// # Time
//
// Nothing here reads the clock: times are parameters, in any zone. Moscow is
// UTC+3 all year, and [MSK] returns the zones of sites, so no time zone database
// is needed. Spans are half open: 19:00 is outside of 10:00 to 19:00, and an
// update that ends at exactly 19:00 is inside.
//
// Everything is a value or immutable, and safe for concurrent use.
package schedule
