package authenticode_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install/authenticode"
)

// publisher makes a policy a Verifier for package archive. Where a release is a
// directory, entry is the installer in it; only that file is vouched for then, so
// verify every program in the directory, or pin the directory's hash.
func publisher(p authenticode.Policy, entry string) archive.Verifier {
	return archive.VerifierFunc(func(ctx context.Context, c archive.Candidate) (archive.Vouched, error) {
		path := c.Path
		if c.Parts != nil {
			path = filepath.Join(path, entry)
		}
		sig, err := p.VerifyFile(ctx, path)
		if _, refused := errors.AsType[*authenticode.Error](err); refused {
			err = fmt.Errorf("%w: %w", archive.ErrMismatch, err)
		}
		if err != nil {
			return archive.Vouched{}, err
		}
		return archive.Vouched{By: sig.String(), Authenticated: true}, nil
	})
}

func Example_fetch() {
	dir, _ := os.MkdirTemp("", "example")
	defer func() { _ = os.RemoveAll(dir) }()
	setup := filepath.Join(dir, "Setup.exe")
	_ = os.WriteFile(setup, []byte("not from the vendor"), 0o600)

	v := publisher(authenticode.Policy{
		Publisher: "ООО «Вендор»",
		Roots:     []*x509.Certificate{}, // the vendor's own root: see LoadRoots
		TimeRoots: []*x509.Certificate{}, // that of the authority which stamps the vendor's files
	}, "Setup.exe")
	_, err := v.Verify(context.Background(), archive.Candidate{Path: setup})
	fmt.Println(errors.Is(err, archive.ErrMismatch), errors.Is(err, authenticode.ErrUnsigned))
	// Output: true true
}
