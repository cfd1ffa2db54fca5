package site

import (
	"context"
	"errors"
	"fmt"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install/authenticode"
	"github.com/aspupdate/aspupdate/version"
)

// verifier verifies the files of a distribution by pinned hashes, or without
// one by the publisher's signature, or accepts them for the operator's reason.
// Then the file must at least match what the server says about it, if there is
// one.
func verifier(d distributionConfig, src fetch.Source) archive.Verifier {
	return archive.VerifierFunc(func(ctx context.Context, c archive.Candidate) (archive.Vouched, error) {
		pins := d.SHA256
		if c.Variant == version.FullSetup {
			pins = d.SHA256FullSetup
		}
		if sum, ok := pins[c.Version.String()]; ok {
			return archive.PinnedSHA256(sum).Verify(ctx, c)
		}
		if d.SHA256File != "" {
			v, err := archive.PinnedSums(d.SHA256File).Verify(ctx, c)
			if err != nil && !errors.Is(err, archive.ErrMismatch) {
				err = fmt.Errorf("%s is not vouched for: %w: %w", c.Key, err, ErrNotVouched)
			}
			return v, err
		}
		if d.Publisher.given() {
			return d.Publisher.Verify(ctx, c)
		}
		if d.Unauthenticated != "" && src == nil {
			return archive.Unauthenticated(d.Unauthenticated).Verify(ctx, c)
		}
		if d.Unauthenticated != "" {
			return archive.WithServerHash(src, archive.Unauthenticated(d.Unauthenticated)).Verify(ctx, c)
		}
		return archive.Vouched{}, fmt.Errorf("%s with the SHA-256 %s is not vouched for: %w", c.Key, c.SHA256, ErrNotVouched)
	})
}

// vouches reports whether the files of a version can be vouched for. A file of
// hashes is read only when they are fetched.
func (d distributionConfig) vouches(v version.Version, variant version.Variant) bool {
	return d.authenticates(v, variant) || d.Unauthenticated != ""
}

// authenticates reports whether a hash or a signature vouches for the files of a
// version, so that half of one would be refused.
func (d distributionConfig) authenticates(v version.Version, variant version.Variant) bool {
	pins := d.SHA256
	if variant == version.FullSetup {
		pins = d.SHA256FullSetup
	}
	return pins[v.String()] != "" || d.SHA256File != "" || d.Publisher.given()
}

// A publisherConfig says whose Authenticode signature vouches for the files of a
// distribution that have no pinned hash.
type publisherConfig struct {
	Name       string `toml:"name"`       // organization or common name, exactly as in the certificate
	Issuer     string `toml:"issuer"`     // the same of the authority that issued the certificate
	Thumbprint string `toml:"thumbprint"` // SHA-256 of the certificate
	Roots      string `toml:"roots"`      // PEM file: roots of the signer and of its time stamps; "" means the system's

	policy authenticode.Policy
}

func (p *publisherConfig) given() bool { return p.Name+p.Issuer+p.Thumbprint+p.Roots != "" }

// read checks the configuration and reads the file that it names.
func (p *publisherConfig) read() error {
	if !p.given() {
		return nil
	}
	p.policy = authenticode.Policy{Publisher: p.Name, Issuer: p.Issuer, Thumbprint: p.Thumbprint}
	if err := p.policy.Check(); err != nil || p.Roots == "" {
		return err
	}
	roots, err := authenticode.LoadRoots(p.Roots)
	p.policy.Roots = roots
	return err
}

// Verify implements [archive.Verifier].
func (p *publisherConfig) Verify(ctx context.Context, c archive.Candidate) (archive.Vouched, error) {
	if c.Parts != nil {
		return archive.Vouched{}, errors.New("a signature cannot vouch for a directory; pin the hash of the directory in distribution.sha256")
	}
	sig, err := p.policy.VerifyFile(ctx, c.Path)
	if _, refused := errors.AsType[*authenticode.Error](err); refused {
		err = fmt.Errorf("%w: %w", archive.ErrMismatch, err)
	}
	if err != nil {
		return archive.Vouched{}, err
	}
	bound, err := bind(sig, c.Key)
	if err != nil {
		return archive.Vouched{}, fmt.Errorf("%w: %s: %w", archive.ErrMismatch, c.Key, err)
	}
	return archive.Vouched{By: sig.String() + ", " + bound, Authenticated: true}, nil
}
