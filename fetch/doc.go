// Package fetch finds releases on the vendor's server. What is done with them
// is in the packages below it.
//
//   - A [Source] lists directories and opens files at an offset. Package
//     fetch/ftp has the one that the regulation asks for; callers can bring
//     their own, and check it with package fetch/fetchtest.
//   - A [Layout] says how versions and variants are named on the server. Its
//     zero value finds the usual forms.
//   - A [Finder] finds releases: [Finder.Find] returns every release of a
//     distribution and whatever it skipped, [Finder.Latest] the newest one
//     that may be installed, [Finder.Joint] the newest ones of several
//     distributions that are updated as one (R4).
//   - Package fetch/archive keeps an archive of versions (R10): it downloads,
//     imports, verifies and prunes.
//   - Package fetch/watch reports what is new on the server: released, late,
//     re-released, vanished.
//
// # Uploads
//
// Half an upload looks like a file. A release is offered when its size and time
// have not changed for a settling time. With [Finder.Sightings] that is counted by
// our own clock from our own first sighting; package fetch/archive publishes
// nothing that was not seen twice so, unless a hash or a signature authenticates
// it.
//
// # Untrusted input
//
// Names, sizes, times, listings and replies come from a server that is not
// trusted. Names that could mean something to a file system are refused, never
// repaired. A listing's date never decides which version is the newest.
//
// # Errors
//
// Every error that a caller can act upon is an [*Error] that wraps one
// of the sentinels (ErrUnreachable, ErrCredentials, …), to be tested with
// errors.Is. No error and no event holds a password.
//
// # Variants that are directories
//
// A variant may be a directory instead of a file ([File].Parts): it is fetched
// and archived whole. Directories without files are left behind. A directory
// with anything that cannot be fetched whole or stored as it is (a link, a name
// that Windows reserves for a device, two names that differ in case alone) is
// skipped.
package fetch
