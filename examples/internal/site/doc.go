// Package site makes the updates of one installation from its configuration: it
// fills in the roles of [rollback.Update] and returns what was asked for as
// values. It prints nothing and parses no command line; command aspupdate does.
//
// It is meant to be read and adapted. Besides the strict TOML decoder in
// examples/internal/strict it imports only exported packages, so that a copy of
// both compiles in another module.
//
// # How an update is composed
//
// A [Site] is the installation that a [Config] describes. The files:
//
//   - config.go defines the configuration, load.go checks it, template.toml
//     explains it to people.
//   - server.go finds the newest release on the server, of a bundle as a whole
//     (R4), and fetches it into the archive. vouch.go decides whether a file is
//     accepted: by a pinned hash, the publisher's signature, or for a reason.
//   - release.go has the releases and the steps between them. Versions are
//     parsed there, once: from the journal, the archive and the server.
//   - update.go makes the update: [Site.Next], after a crash [Site.Pending], and
//     for an operator's rollback [Site.Revert] (R15).
//   - fence.go, probe.go, window.go and requirements.go configure the roles of
//     package [roles]; command.go a target of package backup/command.
//   - prune.go knows what must stay in the archive and in the store: each of
//     those packages knows only half of it.
//   - check.go, watch.go and doctor.go compare what is there with what should
//     be. They change nothing, except that the watch remembers what it saw.
//
// The example shows the start of every run: first the pending update, then the
// next one with its plan.
//
// # Errors
//
// The sentinels of this package are for what no other package can know: a
// mistake in the configuration ([ErrConfig]), nothing to do ([ErrNothing]), no
// Setup for a rollback ([ErrPrevious]), a release that is not fetched
// ([ErrNotFetched]) or not vouched for ([ErrNotVouched]). All other errors come
// from the packages: branch on [rollback.Error],
// [fetch.ErrUnreachable] and so on.
package site
