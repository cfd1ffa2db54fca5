package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// A hash from the server itself shows whether a file is whole. It authenticates
// nothing: an attacker who can replace the file can replace the hash too.

// sidecarSuffix is what the name of a hash file adds to the name of its file.
const sidecarSuffix = ".sha256"

// sidecar compares with a file on the same server that is named like the
// installer with ".sha256" added: the output of sha256sum, or a hash alone. It
// shows that the file is whole; it does not authenticate it. Lines about other
// files, and lines without a hash, are passed over; a sidecar with two hashes
// for the file is refused. If there is no sidecar, the error wraps
// [fetch.ErrNotFound].
//
// For a directory it must name every file of it, by paths below the directory or
// with the directory's name before them, or be the directory's hash alone.
//
// size is the sidecar's own; negative if unknown. If it could not be read, or not
// all of it, the error wraps errUnread.
func sidecar(src fetch.Source, size int64) Verifier {
	return VerifierFunc(func(ctx context.Context, c Candidate) (Vouched, error) {
		if err := fromServer(c); err != nil {
			return Vouched{}, err
		}
		lines, err := readSidecar(ctx, src, c.Remote+sidecarSuffix, size)
		if err != nil {
			return Vouched{}, err
		}
		const by = "SHA-256 beside it on the server"
		single := slices.ContainsFunc(lines, func(l sumLine) bool { return l.name == "" })
		if c.Parts == nil || single {
			sum, err := agree(lines, func(l sumLine) bool { return l.name == "" || strings.EqualFold(path.Base(l.name), c.Name) })
			if err != nil {
				return Vouched{}, fmt.Errorf("%w of %s in its %s file", err, names.Show(c.Name), sidecarSuffix)
			}
			return confirm(c.SHA256, sum, by)
		}
		byName := map[string][]sumLine{}
		for _, l := range lines {
			name := strings.ToLower(strings.TrimPrefix(l.name, "./"))
			byName[name] = append(byName[name], l)
		}
		for _, p := range c.Parts {
			if ctx.Err() != nil {
				return Vouched{}, context.Cause(ctx)
			}
			below, beside := byName[strings.ToLower(p.Path)], byName[strings.ToLower(c.Name+"/"+p.Path)]
			sum, err := agree(slices.Concat(below, beside), func(sumLine) bool { return true })
			if err != nil {
				return Vouched{}, fmt.Errorf("%w of %s/%s in the directory's %s file", err, names.Show(c.Name), names.Show(p.Path), sidecarSuffix)
			}
			if _, err := confirm(p.SHA256, sum, by); err != nil {
				return Vouched{}, fmt.Errorf("%s: %w", names.Show(p.Path), err)
			}
		}
		return Vouched{By: by}, nil
	})
}

// errUnread means that a server has a hash, and did not send it whole.
var errUnread = errors.New("its SHA-256 on the server could not be read")

func readSidecar(ctx context.Context, src fetch.Source, name string, size int64) ([]sumLine, error) {
	unread := func(err error) error {
		return fmt.Errorf("%s: %w: %w", names.Show(path.Base(name)), errUnread, err)
	}
	r, err := src.Open(ctx, name, 0)
	if err != nil {
		return nil, unread(err)
	}
	whole := &sized{r: r}
	lines, _, err := parseSums(whole)
	cerr := r.Close() // half of it could have the hash of another file, or the first of two
	switch {
	case whole.err != nil:
		return nil, unread(whole.err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", names.Show(path.Base(name)), err)
	case cerr != nil:
		return nil, unread(cerr)
	case size >= 0 && whole.n != size:
		return nil, unread(fmt.Errorf("%d bytes came of %d", whole.n, size))
	}
	return lines, nil
}

// A sized reader counts, and keeps what ended it too early.
type sized struct {
	r   io.Reader
	n   int64
	err error
}

func (s *sized) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// remoteHash compares with the SHA-256 that the server computes, see
// [fetch.Hasher]. It shows that the file was transferred whole; it does not
// authenticate it. If the server computes none, the error wraps
// [errors.ErrUnsupported]. It may take the server minutes.
type remoteHash struct{ src fetch.Source }

func (r remoteHash) check() error {
	if _, ok := r.src.(fetch.Hasher); !ok {
		return fmt.Errorf("the source has no hashes: %w", errors.ErrUnsupported)
	}
	return nil
}

func (r remoteHash) Verify(ctx context.Context, c Candidate) (Vouched, error) {
	if err := errors.Join(r.check(), fromServer(c)); err != nil {
		return Vouched{}, err
	}
	if c.Parts != nil {
		return Vouched{}, fmt.Errorf("a server computes no hash of a directory: %w", errors.ErrUnsupported)
	}
	sum, err := r.src.(fetch.Hasher).Hash(ctx, c.Remote)
	if err != nil {
		return Vouched{}, err
	}
	return confirm(c.SHA256, strings.ToLower(sum), "SHA-256 computed by the server")
}

// WithServerHash calls v, and then refuses what the server itself contradicts: by
// a file with its hash beside it, else by a hash that it computes. It is
// not used for a file that v authenticated. What agreed is added to
// [Vouched.By].
//
// A sidecar that was read and makes no sense is an error. One that the server's
// listing does not have is not asked for, and one that the server does not send,
// or not whole, counts as none, whatever the reason: it is a hint. Vouched.By
// says so. So does a server that fails to compute a hash.
func WithServerHash(src fetch.Source, v Verifier) Verifier { return withServerHash{src, v} }

type withServerHash struct {
	src fetch.Source
	v   Verifier
}

func (h withServerHash) check() error { return checkVerifier(h.v) }

func (h withServerHash) Verify(ctx context.Context, c Candidate) (Vouched, error) {
	v, err := h.v.Verify(ctx, c)
	if err != nil || v.Authenticated || c.Remote == "" {
		return v, err
	}
	server, err := h.sidecar(ctx, c)
	unread := errors.Is(err, errUnread)
	if unread || errors.Is(err, fetch.ErrNotFound) {
		server, err = remoteHash{h.src}.Verify(ctx, c)
		if err != nil && !errors.Is(err, ErrMismatch) && ctx.Err() == nil {
			if unread {
				v.By += "; " + errUnread.Error()
			}
			return v, nil
		}
	}
	if err != nil {
		return Vouched{}, err
	}
	v.By += "; agrees with the " + server.By
	return v, nil
}

// sidecar verifies by the sidecar, if the listing of its directory has one.
func (h withServerHash) sidecar(ctx context.Context, c Candidate) (Vouched, error) {
	entries, err := h.src.List(ctx, path.Dir(c.Remote))
	if err != nil {
		return Vouched{}, fmt.Errorf("%w: %w", errUnread, err)
	}
	i := slices.IndexFunc(entries, func(e fetch.Entry) bool { return e.Name == path.Base(c.Remote)+sidecarSuffix })
	if i < 0 {
		return Vouched{}, &fetch.Error{Op: "open", Subject: c.Remote + sidecarSuffix, Err: fetch.ErrNotFound}
	}
	return sidecar(h.src, entries[i].Size).Verify(ctx, c)
}

func fromServer(c Candidate) error {
	if c.Remote == "" {
		return errors.New("the file is not from a server, which could have its hash: pin its SHA-256")
	}
	return nil
}

func confirm(has, want, by string) (Vouched, error) {
	if want != has {
		return Vouched{}, fmt.Errorf("%w: the %s is %s, file has %s", ErrMismatch, by, want, has)
	}
	return Vouched{By: by}, nil
}
