package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/share"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/version"
)

// Import archives a copy of a file or a directory that did not come from the
// server, such as a version that the vendor's support sent (R10). A FullSetup is
// accepted only if the Setup of its version is archived. A stick or a share that
// gives no answer for 30 seconds, or can no longer be read, ends it with [fetch.ErrUnreachable].
func (a *Archive) Import(ctx context.Context, file string, k Key, verify Verifier) (Item, error) {
	it, err := a.importFile(ctx, file, k, verify)
	if errors.Is(err, share.ErrSilent) || errors.Is(err, share.ErrBroken) {
		err = &fetch.Error{Op: "import", Subject: file, Err: fmt.Errorf("%w: %w", fetch.ErrUnreachable, err), Temporary: true, Next: "check the stick or the share"}
	}
	if err != nil {
		return Item{}, fetch.Wrap("import", file, a.diskError(err))
	}
	return it, nil
}

func (a *Archive) importFile(ctx context.Context, file string, k Key, verify Verifier) (Item, error) {
	name := filepath.Base(file)
	if err := errors.Join(k.check(), names.Check(name), checkPayload(name), checkVerifier(verify)); err != nil {
		return Item{}, err
	}
	k.SHA256 = strings.ToLower(k.SHA256)
	fi, err := share.Within(ctx, a.silence(), func() (os.FileInfo, error) {
		if in, err := durable.Within(file, a.Dir); err == nil && in && strings.Contains(file, partialPrefix) {
			return nil, errors.New("the file is the archive's own partial download: copy it elsewhere first")
		}
		return os.Stat(file)
	})
	if err != nil {
		return Item{}, err
	}
	var parts []fetch.Part
	total := fi.Size()
	switch {
	case fi.IsDir():
		in, err := share.Within(ctx, a.silence(), func() (bool, error) { return durable.Within(a.Dir, file) })
		if err != nil {
			return Item{}, err
		} else if in {
			return Item{}, errors.New("the archive itself is in this directory: use the installer's own")
		}
		if parts, err = localParts(ctx, file, a.silence()); err != nil {
			return Item{}, err
		}
		total, _ = measure(parts)
	case !fi.Mode().IsRegular():
		return Item{}, errors.New("neither a regular file nor a directory")
	case fi.Size() == 0:
		return Item{}, errEmpty
	}
	if err := a.prepare(); err != nil {
		return Item{}, err
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return Item{}, err
	}
	defer unlock()
	if k.Variant == version.FullSetup {
		setup, err := a.Get(Key{Distribution: k.Distribution, Version: k.Version, Variant: version.Setup})
		if err == nil {
			err = a.Verify(ctx, setup)
		}
		if err != nil {
			return Item{}, fmt.Errorf("import the Setup of the same version first: %w", err)
		}
	}
	if err := a.checkSpace(total); err != nil {
		return Item{}, err
	}
	st, err := a.stage(k, "", parts)
	if err != nil {
		return Item{}, err
	}
	defer st.close()
	it, err := a.importInto(ctx, st, file, k, parts, total, fi.ModTime().UTC(), verify)
	if err != nil {
		return Item{}, errors.Join(err, st.discard())
	}
	return it, nil
}

// importInto copies the file or the directory, verifies the copy, and publishes
// it.
func (a *Archive) importInto(ctx context.Context, st *stage, file string, k Key, parts []fetch.Part, size int64, mod time.Time, verify Verifier) (Item, error) {
	name := filepath.Base(file)
	c := Candidate{Path: st.path(), Name: name, Source: name}
	want := k.SHA256
	if parts == nil {
		p, err := st.copyFile(ctx, file, fetch.Part{Size: size, Time: mod}, a.silence())
		if err != nil {
			return Item{}, err
		}
		c.Size, k.SHA256 = p.Size, p.SHA256
	} else {
		for _, p := range parts {
			p, err := st.copyFile(ctx, filepath.Join(file, filepath.FromSlash(p.Path)), p, a.silence())
			if err != nil {
				return Item{}, err
			}
			c.Parts = append(c.Parts, p)
		}
		if err := unchanged(ctx, file, parts, a.silence()); err != nil {
			return Item{}, err
		}
		c.Size, mod = measure(c.Parts)
		k.SHA256 = hashParts(c.Parts)
	}
	c.Key = k
	v, err := verify.Verify(ctx, c)
	if err == nil && want != "" && want != k.SHA256 {
		err = fmt.Errorf("%w: wanted SHA-256 %s, the file has %s", ErrMismatch, names.Show(want), k.SHA256)
	}
	if err != nil {
		return Item{}, err
	}
	return a.publish(ctx, st, c, mod, v)
}

// unchanged returns an error if a directory does not have the parts that it had: who
// still copies into it adds files, and the first ones may have changed since they
// were copied.
func unchanged(ctx context.Context, dir string, parts []fetch.Part, silence time.Duration) error {
	now, err := localParts(ctx, dir, silence)
	same := func(a, b fetch.Part) bool { return a.Path == b.Path && a.Size == b.Size && a.Time.Equal(b.Time) }
	if err == nil && !slices.EqualFunc(parts, now, same) {
		err = changedMeanwhile(dir)
	}
	return err
}

func changedMeanwhile(file string) error {
	return fmt.Errorf("%s changed while it was copied: import it again when nothing writes to it", names.Show(file))
}

// silence is how long a share may give no answer.
func (a *Archive) silence() time.Duration { return cmp.Or(a.patience, share.Timeout) }

// copyFile copies a file of this machine into the stage, and returns it with its
// hash. It fails if the file did not match p throughout.
func (s *stage) copyFile(ctx context.Context, file string, p fetch.Part, silence time.Duration) (fetch.Part, error) {
	in, err := share.Within(ctx, silence, func() (*os.File, error) {
		if p.Path == "" { // the path that a person has given may be a link
			var err error
			if file, err = filepath.EvalSymlinks(file); err != nil {
				return nil, err
			}
		}
		return durable.Open(file)
	})
	if err != nil {
		return p, err
	}
	defer share.Close(silence, in.Close)
	out, err := s.open(p.Path)
	if err != nil {
		return p, err
	}
	err = out.copyFrom(io.LimitReader(share.Reader(ctx, silence, in), p.Size+1))
	if err = errors.Join(err, out.close()); err != nil {
		return p, err
	}
	p.SHA256 = out.sum()
	fi, err := share.Within(ctx, silence, in.Stat)
	if err == nil && (out.size != p.Size || fi.Size() != p.Size || !fi.ModTime().Equal(p.Time)) {
		err = changedMeanwhile(file)
	}
	return p, err
}
