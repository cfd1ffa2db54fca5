// Package rollback makes an update reversible: whatever fails, and wherever
// the power goes, the machine ends with the old version and the old data, or
// with the new version and the new data, or says that a person must decide,
// with every backup and installer still there. It is named for the rollback
// journal of SQLite, whose idea it borrows: first make durable what undoing
// needs, then change things, then commit with one write.
//
// # The words
//
// An [Update] is the safe update as a value. It has [Part]s, one for each
// distribution (several make a bundle, R4), and [Dataset]s, which are what
// must come back with the previous version (R9, R15). What it knows is the
// order and the guards; how things are done on a particular machine it leaves
// to roles, small interfaces with standard types only, which the caller fills
// in: [Fence], [Data], [Installer], [Probe], [Window], [Application].
//
// A [Plan] says what a run would do, and making one writes nothing. [Update.Run]
// takes a plan and refuses if anything that it shows has changed.
//
// # The order
//
// Run: lock → recover what is pending → look at everything again → journal
// the intent → close the fence → stop the application → back every dataset up
// and read it back → guard → first damage: install → (restart of the machine)
// → start → probe → commit → open the fence.
//
// The guard re-reads, from the disk, the window (R13), the previous Setup and
// the new installer (R10), the snapshots (R9), lock and journal. If one is
// not as it must be, no installer is called.
//
// The way back (R15): wait for an installer still at work (the fence stands;
// closing it anew would end the installer's sessions) → close the fence → stop
// the application → remove, where the kind needs it → restore every
// dataset → install the previous version's Setup → start → probe → record,
// with the release quarantined → open the fence.
//
// # After the commit
//
// A person may still go back (R15): [Update.PlanRevert] says to which version,
// which snapshot and what it costs, and [Update.Revert] wants the hash of
// that plan as its confirmation. It takes a snapshot of today's state first,
// which is kept, because what was entered since the update is not merged; then
// it goes the same way: restore, the previous Setup, probe, commit. It is
// undone in the same way, with the snapshot that it took and the newer Setup.
//
// # After a crash
//
// The intent of every step is durable before the step. [Update.Recover],
// called at every start, finds the pending update and decides by probing:
// forward if every part is healthy at its new version, back otherwise.
// Attempts are counted when they are read back, so that a crash loop ends in
// [NeedsOperator], which a person lifts with [Update.Retry] or
// [Update.Accept].
//
// # The parts it is made of
//
// [Journal] and [Lock] can be used alone. [ReadStatus] answers what is
// committed, quarantined and pending, what can be gone back to and which
// snapshots ([Status.Needed]) and releases ([Status.Uses]) that needs, and
// takes no lock. The journal is rotated when it has grown, and [ReadHistory]
// still tells everything that was ever done.
//
// # Limits
//
// Where a release has the version of the one that it replaces (R13) no look
// tells them apart: after a crash around its installer the update goes back,
// and [Update.Accept] is refused. A restart that an installer asked for after
// its updater had died is known only if [Installer].Settle tells; on the way
// back it is not waited for, so that the probe may fail and a person be asked.
//
// The package imports nothing of the other packages of this module, prints
// nothing and ends no process. All times are UTC.
package rollback
