// Package schedule knows when the vendor releases, and when an update may run:
// the rules R1, R2, R5, R6 and R11 to R14 of the update regulation.
//
// It answers four questions, each with a value whose zero value follows the
// regulation, and whose fields change what a site or a support does otherwise:
//
//   - [Numbering]: which month is version 7.12.100 of? Does an update lead into
//     a new year?
//   - [Calendar]: which release is expected when, is it late, and when to
//     look again?
//   - [Hours]: is there support at this moment, and when next? How much
//     support time lies between two moments?
//   - [Planner]: when is there room for the whole of an update, and why not
//     sooner?
//
// The last two are the shortest use:
//
//	estimate := schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}
//	var planner schedule.Planner
//	slot, err := planner.Next(now, estimate) // start from slot.Start to slot.LatestStart
//	...
//	err = planner.Fits(now, estimate) // right before: nil, or what stands against it
//
// # Days off
//
// What a day is, [Workdays] tells: by default [Russia], the production calendar
// of 2019 to 2027, derived from the government's decrees and three rules of
// law. Further days off are laid over it ([Production.WithDaysOff]), and the
// decree of another year is read from a file ([Production.Load]). Beyond
// the data the answer is [ErrBeyondData], never a guess that Monday to Friday are
// working days.
//
// # Time
//
// Nothing here reads the clock: a time is always given, in any zone. Moscow is
// UTC+3 all year, and the zones of sites are made by [MSK], so no time zone
// database is needed. Spans are half open: 19:00 is outside of 10:00 to 19:00,
// and an update that ends at 19:00 exactly is inside.
//
// Everything is a value or immutable, and safe for concurrent use.
package schedule
