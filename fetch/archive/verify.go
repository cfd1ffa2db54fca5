package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/digest"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// A Candidate is a file that is complete, not yet published, and waits for a
// [Verifier].
type Candidate struct {
	Key                 // what it claims to be, and the SHA-256 that its bytes have; of a directory, see [Item]
	Path   string       // on this machine; read only
	Name   string       // its name on the server, in UTF-8
	Size   int64        // bytes
	Parts  []fetch.Part // of a directory: its files with their hashes; nil for one file
	Source string       // where it came from: a URL without secrets, or a file
	Remote string       // its path on the server, byte for byte, or ""
}

// Vouched is how a file was vouched for, for the manifest and for people.
type Vouched struct {
	By string `json:"by"` // such as "pinned SHA-256"
	// Authenticated reports whether the file is known to come from the
	// vendor, and not merely to be whole.
	Authenticated bool `json:"authenticated"`
}

func (v Vouched) String() string {
	if v.Authenticated {
		return v.By
	}
	if strings.HasPrefix(v.By, "unauthenticated") {
		return v.By
	}
	return v.By + " (unauthenticated)"
}

// A Verifier vouches for a file or refuses it. Refusing is an error that wraps
// [ErrMismatch]; any other error means that it could not decide. Both keep the
// file out of the archive. Each call of the Archive calls it from one goroutine
// at a time.
type Verifier interface {
	Verify(ctx context.Context, c Candidate) (Vouched, error)
}

// VerifierFunc is a function as a [Verifier].
type VerifierFunc func(ctx context.Context, c Candidate) (Vouched, error)

// Verify calls f.
func (f VerifierFunc) Verify(ctx context.Context, c Candidate) (Vouched, error) { return f(ctx, c) }

// A checker is a Verifier that knows before the download whether it can never
// vouch for anything.
type checker interface{ check() error }

func checkVerifier(v Verifier) error {
	if v == nil {
		return errors.New("nothing vouches for the file: use a Verifier, or archive.Unauthenticated with a reason")
	}
	if c, ok := v.(checker); ok {
		return c.check()
	}
	return nil
}

// PinnedSHA256 vouches for the file that has this hash, written as 64
// hexadecimal digits. For hashes that are kept in a file, see [PinnedSums]. A
// FullSetup is archived together with the Setup of its version (R3, R10), which has a hash
// of its own: a [VerifierFunc] finds out by the Variant of the candidate.
func PinnedSHA256(sum string) Verifier { return pinned(strings.ToLower(strings.TrimSpace(sum))) }

type pinned string

func (p pinned) check() error {
	if _, ok := digest.Parse(string(p)); !ok {
		return fmt.Errorf("invalid SHA-256 %q: write 64 hexadecimal digits", names.Show(string(p)))
	}
	return nil
}

func (p pinned) Verify(_ context.Context, c Candidate) (Vouched, error) {
	if err := p.check(); err != nil {
		return Vouched{}, err
	}
	if c.SHA256 != string(p) {
		return Vouched{}, fmt.Errorf("%w: pinned SHA-256 %s, file has %s", ErrMismatch, string(p), c.SHA256)
	}
	return Vouched{By: "pinned SHA-256", Authenticated: true}, nil
}

// Unauthenticated accepts any file, for a reason that the manifest keeps. The
// reason is required.
func Unauthenticated(reason string) Verifier { return unauthenticated(strings.TrimSpace(reason)) }

type unauthenticated string

func (u unauthenticated) check() error {
	if u == "" {
		return errors.New("an unauthenticated file needs a reason")
	}
	return nil
}

func (u unauthenticated) Verify(context.Context, Candidate) (Vouched, error) {
	return Vouched{By: "unauthenticated: " + string(u)}, u.check() // String expects this prefix
}
