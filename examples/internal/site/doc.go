// Package site makes the packages of this module into the updates of one
// installation: it reads a configuration, fills in the roles of
// [rollback.Update] from it, and returns what was asked for as values. It prints
// nothing and parses no command line; command aspupdate does that with it.
//
// It is there to be read and adapted, not to be imported, and a copy in another
// module does not compile as it is: a few calls are of this module's internal
// packages. In their place put: for process.Run (the fence, the application,
// the watch's command) os/exec with a deadline, which ends the whole process
// tree; for durable.VolumeOf (doctor) the system's call for free space; for
// durable.MkdirAll os.MkdirAll; for strict.Decode and strict.Duration any
// decoder that refuses unknown keys. All else are exported calls.
//
// # How an update is composed
//
// A [Site] is the installation that a [Config] describes. Where to look for
// what:
//
//   - config.go has what can be said of an installation, load.go what is wrong
//     with that, template.toml explains it to people.
//   - server.go looks for the newest release, of a bundle as a whole (R4), and
//     brings it into the archive: [ftp.Source], [fetch.Finder], [archive.Archive].
//     vouch.go says who vouches for it: pinned hashes, the publisher's
//     signature, or by name nobody.
//   - update.go lays an update out, from what the journal or the probe says is
//     installed to what was found, and fills in every role of
//     [rollback.Update]. There are three: [Site.Next], [Site.Pending] after a
//     crash, and [Site.Back] for a person who goes back (R15).
//   - roles.go has the roles that are few lines each: the fence, the
//     application and the data over [backup.Store]. installer.go, probe.go and
//     window.go have the other three, over packages install and schedule.
//   - prune.go knows what must stay in the archive and among the backups:
//     neither of the packages can, since each knows one half.
//   - check.go, watch.go and doctor.go compare what is there with what should
//     be. They change nothing, but that the watch remembers what it saw.
//
// The example shows the use of every start: what is pending comes first, then
// the next update is laid out, shown as a plan, and run.
//
// # Errors
//
// The sentinels here are for what no package can know: a mistake in the
// configuration ([ErrConfig]), nothing to do ([ErrNothing]), a Setup without
// which no way back is possible ([ErrPrevious]), one that waits to be fetched
// ([ErrNotFetched]) or that nobody vouches for ([ErrNotVouched]). All others are
// the packages' own and come through unchanged: branch on [rollback.Error],
// [rollback.Refusal], [fetch.ErrUnreachable] and so on.
package site
