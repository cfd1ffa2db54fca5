package fetch

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

// A Release is one version of one distribution, as it was seen on the server.
type Release struct {
	Distribution string
	Version      version.Version
	Files        []File // one for each variant that is there, Setup first
}

// A File is one variant of a release (R3): one file, or a folder with all that
// is below it.
type File struct {
	Variant version.Variant
	Path    string    // on the server, byte for byte
	Size    int64     // bytes; of a folder, of all its files together
	Time    time.Time // of the last change; of a folder, the newest of its files'
	Sidecar string    // path of a file with its SHA-256 on the same server, or ""
	Parts   []Part    // of a folder: its files, by path; nil for one file
}

// SidecarSuffix is what the name of a file with a SHA-256 adds to the name of
// the file that it is about.
const SidecarSuffix = ".sha256"

// A Part is one file of a variant that is a folder. Folders without files are
// no parts: they are left behind.
type Part struct {
	Path   string    `json:"path"`             // below the folder, separated by slashes; on the server byte for byte, in an archive UTF-8
	Size   int64     `json:"size"`             // bytes
	Time   time.Time `json:"time,omitzero"`    // as the server's listing told it
	SHA256 string    `json:"sha256,omitempty"` // lower-case hexadecimal digits; empty while it is on the server alone
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

// Has reports whether what a caller who wants the variant needs is there: a
// FullSetup is of no use without the Setup that a rollback installs (R3, R15).
func (r Release) Has(v version.Variant) bool {
	_, setup := r.File(version.Setup)
	_, ok := r.File(v)
	return ok && setup
}

func (r Release) String() string { return fmt.Sprintf("/%s/%s", names.Show(r.Distribution), r.Version) }

// Why says why something was passed over.
type Why string

// The reasons for passing over. The first ones are about a name, and normal
// for whatever else lies on a server; the others are about a release.
const (
	SkipName       Why = "not named like a release"
	SkipUnsafe     Why = "unsafe name"
	SkipUnreadable Why = "line of the listing not understood"
	SkipLink       Why = "neither a file nor a folder"
	SkipNoSize     Why = "its size is not told"
	SkipTree       Why = "a folder with something that cannot be fetched"
	SkipAmbiguous  Why = "several files claim to be the same variant"
	SkipBeta       Why = "a beta, and none was asked for"
	SkipRefused    Why = "not accepted by the caller"
	SkipSettling   Why = "still settling"
	SkipVariant    Why = "without the variant that is wanted"
)

// Skipped is something on the server that was passed over, and why. It is
// never an error.
type Skipped struct {
	Path    string // as the server spells it: hostile, print it with String
	Why     Why
	Version version.Version // zero if not known
	Until   time.Time       // with SkipSettling: when it will have settled; zero if not known
}

func (s Skipped) String() string {
	if !s.Until.IsZero() {
		return fmt.Sprintf("%s: %s until %s", names.Show(s.Path), s.Why, s.Until.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s: %s", names.Show(s.Path), s.Why)
}
