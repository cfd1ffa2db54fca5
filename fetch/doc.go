// Package fetch finds releases on the vendor's server, downloads them, and
// keeps them in an archive of versions.
//
// The words, in the order in which they are met:
//
//   - A [Source] lists folders and opens files at an offset. [FTP] is the one
//     that the regulation asks for; callers can bring their own, and check it
//     with package fetchtest.
//   - A [Layout] says how versions and variants are named on the server. Its
//     zero value finds the usual forms by looking.
//   - A [Finder] looks: [Finder.Find] tells every release of a distribution
//     and whatever it passed over, [Finder.Latest] the newest one that may be
//     installed, [Finder.Joint] the newest ones of several distributions that
//     are updated as one (R4).
//   - An [Archive] is a folder of versions (R10). [Archive.Fetch] downloads
//     into it, [Archive.Import] takes a file got from the vendor's support,
//     [Archive.Get] finds what a rollback needs. What is in the archive never
//     changes, and is hashed again from disk by [Archive.Verify].
//     [Archive.Prune] removes old versions, never one that is in use.
//   - A [Watch] looks at the times that its caller gives, tells what is new
//     (released, late, re-released, vanished) and remembers it.
//   - A [Verifier] vouches for a file before it is published in the archive.
//     There is no default: plain FTP lets anybody on the way replace a file,
//     so that doing without is possible only by saying so, by
//     [Unauthenticated], and the archive's manifest keeps the words.
//     [PinnedSHA256] and [PinnedSums] authenticate; [Sidecar] and
//     [RemoteHash] are the server's own word, to be used with [Hinted].
//
// The shortest use:
//
//	src := fetch.FTP{Addr: "ftp.example.org", User: "site", Password: password}
//	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
//	…
//	archive := fetch.Archive{Dir: "/var/lib/aspupdate/archive"}
//	item, err := archive.Fetch(ctx, src, rel, version.Setup, fetch.PinnedSHA256(sum))
//
// # What is hostile
//
// Names, sizes, times, listings and replies come from a server that nobody
// has vouched for. Names are refused, never repaired, when they could mean
// something to a file system; a transfer counts only when as many bytes came
// as the server told beforehand, its end was confirmed, and size and time
// stood still meanwhile. A listing's date never decides which version is the
// newest.
//
// # Errors
//
// Every error that a caller can act upon is an [*Error] whose Reason is one
// of the sentinels (ErrUnreachable, ErrCredentials, …), to be asked for with
// errors.Is. No error, event or manifest holds a password.
//
// # Variants that are folders
//
// A variant may be a folder instead of a file ([File].Parts): it is fetched
// whole, archived as a folder, and its SHA-256 is that of what sha256sum
// prints for its files, in byte order of their paths below it. On Linux, in
// the folder:
//
//	find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
//
// Folders without files are left behind. A folder with anything that cannot
// be fetched whole or stored as it is (a link, a name that Windows takes for a
// device, two names that differ in case alone) is passed over.
package fetch
