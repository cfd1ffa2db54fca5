// Package archive keeps every installer that was ever fetched, because the
// vendor's server keeps no history (R10).
//
//   - An [Archive] is a directory of versions. [Archive.Fetch] downloads into
//     it, [Archive.Import] copies a file that the vendor's support sent,
//     [Archive.Get] finds what a rollback needs. What is in the archive never
//     changes, and is hashed again from disk by [Archive.Verify].
//     [Archive.Prune] removes old versions, never one that is in use.
//   - A [Verifier] vouches for a file before it is published in the archive.
//     There is no default: plain FTP lets anyone on the network path replace a file,
//     so doing without one is possible only explicitly, with
//     [Unauthenticated], and the manifest keeps the reason. [PinnedSHA256] and
//     [PinnedSums] authenticate; [WithServerHash] compares with the
//     server's own claim.
//
// A transfer counts only if as many bytes arrived as the server reported
// before, its end was confirmed, and size and time did not change in the meantime.
//
// # Variants that are directories
//
// The SHA-256 of a variant that is a directory is that of what sha256sum prints
// for its files, in byte order of their paths below it. On Linux, in the
// directory:
//
//	find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
package archive
