// Package roles has the roles of a [rollback.Update] ready to use, over the
// other packages of this module:
//
//   - [Data]: the snapshots of a [backup.Target] in a [backup.Store] (R9, R15).
//   - [Installers]: the installers of an archive, run by an [install.Runner]
//     (R3, R10, R14).
//   - [Probe]: an [install.Probe], and how an empty machine is recognized (R12).
//   - [Window]: the support's hours by a [schedule.Planner] (R11, R13).
//   - [Fence]: several fences as one, closed in order and opened in reverse.
//     A service.Group of package install/service is a fence as it is, and so
//     is a postgres.Database of package backup/postgres.
//   - [Application]: the same for what is stopped behind the fence.
//   - [Switch]: two commands of the operator's, as a fence or an application.
//
// The roles are values that describe what to do; what they know they read from
// the disk each time, so that another process goes on with them after a crash.
// A role is used by one goroutine at a time, as [rollback.Update] uses it.
//
// The package links no database driver, no FTP client and no signature
// checker: what is backed up and what a probe asks is the caller's.
//
// Versions are not parsed here. A role is configured with the parsed ones, such
// as the keys of an archive, and compares those with what the journal has.
package roles
