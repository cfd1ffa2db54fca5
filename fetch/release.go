package fetch

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

// A Release is one version of one distribution, as it was found on the server.
type Release struct {
	Distribution string
	Version      version.Version
	Files        []File // one for each variant that is there, Setup first
}

// A File is one variant of a release (R3): one file, or a directory with all
// files below it.
type File struct {
	Variant version.Variant
	Path    string    // on the server, byte for byte
	Size    int64     // bytes; of a directory, of all its files together
	Time    time.Time // of the last change; of a directory, of its newest file
	Sidecar string    // path of a file with its SHA-256 on the same server, or ""
	Parts   []Part    // the files of a directory, by path; nil for one file
}

// sidecarSuffix is what the name of a hash file adds to the name of the file
// that it vouches for being whole.
const sidecarSuffix = ".sha256"

// A Part is one file of a variant that is a directory. Directories without
// files are left out.
type Part struct {
	Path   string    `json:"path"`             // below the directory, separated by slashes; on the server byte for byte, in an archive UTF-8
	Size   int64     `json:"size"`             // bytes
	Time   time.Time `json:"time,omitzero"`    // from the server's listing
	SHA256 string    `json:"sha256,omitempty"` // lower-case hexadecimal digits; empty before it was downloaded
}

// File returns the release's file of a variant.
func (r Release) File(v version.Variant) (File, bool) {
	for _, f := range r.Files {
		if f.Variant == v {
			return f, true
		}
	}
	return File{}, false
}

// Has reports whether the release has a variant and the Setup: a FullSetup is
// of no use without the Setup that a rollback installs (R3, R15).
func (r Release) Has(v version.Variant) bool {
	_, setup := r.File(version.Setup)
	_, ok := r.File(v)
	return ok && setup
}

func (r Release) String() string { return fmt.Sprintf("/%s/%s", names.Show(r.Distribution), r.Version) }

// A SkipReason is why something was skipped.
type SkipReason string

// Reasons for skipping. The first three are about a name or a line of a
// listing, and normal for whatever else is on a server; the others are about a
// release.
const (
	SkipName       SkipReason = "not named like a release"
	skipUnsafe     SkipReason = "unsafe name"
	SkipUnreadable SkipReason = "line of the listing not understood"
	skipLink       SkipReason = "neither a file nor a directory"
	skipNoSize     SkipReason = "size unknown"
	skipParts      SkipReason = "a directory that is too large or too deep to be fetched"
	skipEmpty      SkipReason = "a directory without files"
	skipAmbiguous  SkipReason = "several files claim to be the same variant"
	skipBeta       SkipReason = "a beta, and none was asked for"
	skipRefused    SkipReason = "not accepted by the caller"
	skipSettling   SkipReason = "still settling"
	skipVariant    SkipReason = "without the variant that is wanted"
)

// Skipped is something on the server that was skipped. It is never an
// error.
type Skipped struct {
	Path    string // as the server spells it: not safe to print, use String
	Reason  SkipReason
	Version version.Version // zero if not known
	Until   time.Time       // of a release that is still settling: when it will have settled; zero if not known
}

func (s Skipped) String() string {
	if !s.Until.IsZero() {
		return fmt.Sprintf("%s: %s until %s", names.Show(s.Path), s.Reason, s.Until.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s: %s", names.Show(s.Path), s.Reason)
}
