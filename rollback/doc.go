// Package rollback makes an update reversible: whatever fails, and whenever
// the power goes, the machine ends with the old version and the old data, or
// with the new version and the new data, or reports that a person must decide,
// with every backup and installer still there. It is named for SQLite's
// rollback journal: first make durable what undoing needs, then change things,
// then commit with one write.
//
// # Terms
//
// An [Update] is the safe update as a value. It has [Part]s, one for each
// distribution (several make a bundle, R4), and [Dataset]s, which must come
// back with the previous version (R9, R15). It owns the order and the guards.
// How things are done on a machine is up to its roles, small interfaces that
// the caller fills in: [Fence], [Data], [Installer], [Migrator], [Probe],
// [Window], [Application].
//
// A [Plan] is what a run would do, and making one writes nothing. [Update.Run]
// refuses if anything that its plan shows has changed.
//
// # The order
//
// Run: lock → recover what is pending → plan again → journal the intent →
// close the fence → stop the application → back every dataset up and read it
// back → guard → first damage: install → (restart of the machine) → start →
// migrate each dataset that the new version restructures → probe → commit → open
// the fence. The guard re-reads from the disk the window
// (R13), the previous Setup and the new installer (R10), the snapshots (R9),
// lock and journal.
//
// The rollback (R15): wait for an installer that is still running → close the
// fence → stop the application → keep what may be newer than its snapshot →
// remove, where the kind needs it → restore every dataset → install the
// previous version's Setup → compare again → start → probe, steady → record,
// with the release quarantined → open the fence.
//
// After a commit a person may still go back, see [Update.Revert].
//
// # After a crash
//
// The intent of every step is durable before the step. [Update.Recover],
// called at every start, finds the pending update, settles what was left running
// and decides by probing: forward as soon as every part answers steadily at its
// new version, back as soon as all answer and not all are, or after a silence.
// What was migrated is not migrated again, and what was not is, before a commit.
// An answer is a verdict even if the installer's end is journaled as a success:
// a [Probe] returns a version only if software and data agree on it, so that during a
// restructuring (R11) none is returned. The process that ran the installer
// believes its success and waits for the new version, because there the
// application may not have been restarted yet; users are kept out no longer than
// [Deadlines].Probe.
// After an outcome that is durable it only lets users in. Attempts are counted
// when they are read back, so that a crash loop ends in [NeedsOperator], which a
// person lifts with [Update.Retry] or [Update.Accept].
//
// [ReadStatus] and [ReadHistory] read the journal and take no lock.
//
// # Limits
//
// Where a release has the version of the one that it replaces (R13) no probe
// can distinguish them: after a crash around its installer the update is
// rolled back, and [Update.Accept] needs the release that is installed. A restart
// that an installer asked for after its updater had died is known only if
// [Installer].Settle reports it; in a rollback it is not waited for, so that the
// probe may fail and a person must decide.
//
// The package imports no other package of this module but internal ones,
// prints nothing and ends no process. All times are UTC.
package rollback
