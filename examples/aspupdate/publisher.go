package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/install/authenticode"
)

// publisherConfig says whose Authenticode signature vouches for a
// distribution's files that have no pinned hash.
type publisherConfig struct {
	Name       string `toml:"name"`       // organization or common name, exactly as in the certificate
	Thumbprint string `toml:"thumbprint"` // SHA-256 of the certificate
	Roots      string `toml:"roots"`      // PEM file: roots of the signer and of its time stamps; "" means the system's

	policy authenticode.Policy
}

func (p *publisherConfig) given() bool { return p.Name+p.Thumbprint+p.Roots != "" }

// read checks the config and reads the file that it names.
func (p *publisherConfig) read() error {
	if !p.given() {
		return nil
	}
	p.policy = authenticode.Policy{Publisher: p.Name, Thumbprint: p.Thumbprint}
	if err := p.policy.Check(); err != nil || p.Roots == "" {
		return err
	}
	roots, err := authenticode.LoadRoots(p.Roots)
	p.policy.Roots = roots
	return err
}

// Verify implements [fetch.Verifier].
func (p *publisherConfig) Verify(ctx context.Context, c fetch.Candidate) (fetch.Vouched, error) {
	if c.Parts != nil {
		return fetch.Vouched{}, errors.New("one signature does not vouch for a whole folder: pin the folder's hash in distribution.sha256")
	}
	sig, err := p.policy.VerifyFile(ctx, c.Path)
	if _, refused := errors.AsType[*authenticode.Error](err); refused {
		err = fmt.Errorf("%w: %w", fetch.ErrMismatch, err)
	}
	if err != nil {
		return fetch.Vouched{}, err
	}
	return fetch.Vouched{By: sig.String(), Authenticated: true}, nil
}
