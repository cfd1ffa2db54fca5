package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/version"
)

// Import archives a file that did not come from the server, such as a version
// that the vendor's support sent (R10). The file is copied and stays where
// it is. A FullSetup is taken only once the Setup of its version is there.
func (a Archive) Import(ctx context.Context, file string, k Key, verify Verifier) (Item, error) {
	it, err := a.importFile(ctx, file, k, verify)
	if err != nil {
		return Item{}, wrap("import", file, a.diskError(err))
	}
	return it, nil
}

func (a Archive) importFile(ctx context.Context, file string, k Key, verify Verifier) (Item, error) {
	name := filepath.Base(file)
	if err := errors.Join(k.check(), checkName(name), checkPayload(name), checkVerifier(verify)); err != nil {
		return Item{}, err
	}
	if k.Variant == version.FullSetup {
		setup := Key{Distribution: k.Distribution, Version: k.Version, Variant: version.Setup}
		if _, err := a.Get(setup); err != nil {
			return Item{}, fmt.Errorf("import the Setup of the same version first: %w", err)
		}
	}
	in, err := os.Open(file)
	if err != nil {
		return Item{}, err
	}
	defer func() { _ = in.Close() }()
	fi, err := in.Stat()
	if err != nil {
		return Item{}, err
	}
	if !fi.Mode().IsRegular() {
		return Item{}, errors.New("not a regular file")
	}
	if err := a.prepare(); err != nil {
		return Item{}, err
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return Item{}, err
	}
	defer unlock()
	if err := a.space(fi.Size()); err != nil {
		return Item{}, err
	}
	p, err := a.stage(k)
	if err != nil {
		return Item{}, err
	}
	defer p.close()
	if err := p.copyFrom(withContext(ctx, in)); err != nil {
		return Item{}, errors.Join(err, p.discard())
	}
	want := k.SHA256
	k.SHA256 = p.sum()
	c := Candidate{Key: k, Path: p.path(), Name: name, Size: p.size, Source: name}
	v, err := verify.Verify(ctx, c)
	if err == nil && want != "" && want != k.SHA256 {
		err = fmt.Errorf("%w: asked for SHA-256 %s, file has %s", ErrMismatch, show(want), k.SHA256)
	}
	if err != nil {
		return Item{}, errors.Join(err, p.discard())
	}
	return a.publish(ctx, p, c, fi.ModTime(), v)
}
