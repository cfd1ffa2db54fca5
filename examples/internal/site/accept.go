package site

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

// ErrSeveral means that the archive has several files of one version, and that a
// person must name the one that is installed.
var ErrSeveral = errors.New("the archive has several files of this version: name the one that is installed by its SHA-256")

// Accept records, for the update that the journal has as pending, that the
// installation was put right by hand. Installed names what is installed, each as
// VERSION, VERSION@SHA256, or with NAME= before it for one distribution; a hash
// may be shortened. What is not named is what the probe reports. Each must be
// healthy, and its Setup in the archive. The error wraps [ErrPrevious] if that is
// not so, and [ErrSeveral] if the probe cannot say which file it was.
func (s *Site) Accept(ctx context.Context, reason string, installed []string) (rollback.Result, error) {
	u, err := s.Pending()
	if err == nil && u == nil {
		err = fmt.Errorf("%w: no update is pending", ErrNothing)
	}
	if err != nil {
		return rollback.Result{Outcome: rollback.Nothing}, err
	}
	named, err := s.named(installed)
	if err != nil {
		return rollback.Result{Outcome: rollback.Nothing}, err
	}
	releases := map[string]rollback.Release{}
	for _, d := range s.Config.Distributions {
		r, err := s.present(ctx, d, named[d.Name])
		if err != nil {
			return rollback.Result{Outcome: rollback.Nothing}, err
		}
		releases[d.Name] = r
	}
	return u.Accept(ctx, reason, releases)
}

// named returns what a person says is installed, by distribution.
func (s *Site) named(installed []string) (map[string]string, error) {
	names := map[string]string{}
	for _, text := range installed {
		name, what, one := strings.Cut(text, "=")
		if !one {
			what = text
		}
		known := false
		for _, d := range s.Config.Distributions {
			if !one || d.Name == name {
				names[d.Name], known = what, true
			}
		}
		if !known {
			return nil, fmt.Errorf("%w: no [[distribution]] has the name %s", ErrConfig, name)
		}
	}
	return names, nil
}

// present returns the archived Setup of what is installed: as it was named, or else
// of the version that the probe reports.
func (s *Site) present(ctx context.Context, d distributionConfig, named string) (rollback.Release, error) {
	text, hash, _ := strings.Cut(named, "@")
	v, err := version.Parse(text)
	if text == "" {
		v, err = d.ask(ctx)
	}
	if err != nil {
		return rollback.Release{}, &rollback.Error{Reason: rollback.ReasonInstalled, Subject: d.Name, Err: fmt.Errorf("it is not known what is installed: %w", err)}
	}
	if v.IsZero() {
		return rollback.Release{}, nil
	}
	item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup})
	if err != nil {
		return rollback.Release{}, fmt.Errorf("%w: %s %s (%w)", ErrPrevious, d.Name, v, err)
	}
	hashes := append([]string{item.SHA256}, item.Others...)
	if hash == "" && len(hashes) > 1 {
		return rollback.Release{}, fmt.Errorf("%s %s: %w: %s", d.Name, v, ErrSeveral, strings.Join(hashes, ", "))
	}
	hashes = slices.DeleteFunc(hashes, func(h string) bool { return !strings.HasPrefix(h, strings.ToLower(hash)) })
	if len(hashes) != 1 {
		return rollback.Release{}, fmt.Errorf("%w: %s %s: %d archived files have a SHA-256 that begins with %s", ErrPrevious, d.Name, v, len(hashes), hash)
	}
	item, err = s.Archive().Get(archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup, SHA256: hashes[0]})
	if err != nil {
		return rollback.Release{}, err
	}
	return roles.Release(item), nil
}

// vouch returns a function that fails unless an archived installer is vouched for
// now. It needs nothing of the server.
func vouch(d distributionConfig) func(context.Context, archive.Item) error {
	return func(ctx context.Context, it archive.Item) error {
		_, err := verifier(d, nil).Verify(ctx, archive.Candidate{
			Key: it.Key, Path: it.Path, Name: filepath.Base(it.Path), Size: it.Size, Parts: it.Parts, Source: it.Source,
		})
		return err
	}
}
