// Package roles has ready roles for a [rollback.Update], made of the other
// packages of this module:
//
//   - [Data]: the snapshots of a [backup.Target] in a [backup.Store] (R9, R15).
//   - [Installers]: the installers of an archive, run by an [install.Runner]
//     (R3, R10, R14).
//   - [Probe]: an [install.Probe], and how an empty machine is recognized (R12).
//   - [Migrator]: a command that restructures a database, and a probe that reports
//     when it is done (R11).
//   - [Window]: the support hours, by a [schedule.Planner] (R11, R13).
//   - [Fence]: several fences as one, closed in order and opened in reverse.
//     A service.Group of package install/service is a fence as it is, and so
//     is a Database of packages backup/postgres and backup/mssql.
//   - [Application]: several applications as one, stopped behind the fence.
//   - [Switch]: two commands of the operator, as a fence or an application.
//
// A role is a value that describes what to do. It keeps no state in memory, so
// that another process can continue with the same roles after a crash. It is used
// by one goroutine at a time, as [rollback.Update] does.
//
// The package links no database driver, no FTP client and no signature checker:
// the caller brings the targets, the probes, and an archive that is filled.
//
// Roles are configured with parsed versions, in the keys of an archive, and compare
// those with the releases in the journal.
package roles
