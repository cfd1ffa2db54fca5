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
// healthy, and its Setup in the archive or among setups,, each as FILE, or NAME=FILE in a bundle: that is archived
// first, by the checks of [Site.Import], though no server is asked. The
// error wraps [ErrPrevious] if that is not so, and [ErrSeveral] if the probe cannot
// say which file it was.
func (s *Site) Accept(ctx context.Context, reason string, installed, setups []string) (rollback.Result, error) {
	u, err := s.Pending()
	if err == nil && u == nil {
		err = fmt.Errorf("%w: no update is pending", ErrNothing)
	}
	if err != nil {
		return rollback.Result{Outcome: rollback.Nothing}, err
	}
	named, err := s.named(installed)
	files, filesErr := s.given(setups)
	if err = errors.Join(err, filesErr); err != nil {
		return rollback.Result{Outcome: rollback.Nothing}, err
	}
	releases := map[string]rollback.Release{}
	for _, d := range s.Config.Distributions {
		r, err := s.present(ctx, d, named[d.Name], files[d.Name])
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

// given returns the files of setups by distribution. Each is FILE, or NAME=FILE in a
// bundle.
func (s *Site) given(setups []string) (map[string]string, error) {
	files := map[string]string{}
	for _, text := range setups {
		name, file, ok := strings.Cut(text, "=")
		switch all := s.Config.Distributions; {
		case ok && slices.ContainsFunc(all, func(d distributionConfig) bool { return d.Name == name }):
		case len(all) == 1: // a file may have = in its name
			name, file = all[0].Name, text
		default:
			return nil, fmt.Errorf("%w: the distribution of the file %s is not known: give NAME=FILE", ErrConfig, text)
		}
		if files[name] != "" {
			return nil, fmt.Errorf("%w: two files of %s are given: one is installed", ErrConfig, name)
		}
		files[name] = file
	}
	return files, nil
}

// archive archives the file of what is installed, which begins with this SHA-256, and
// asks no server for it: what is pending must end without one.
func (s *Site) archive(ctx context.Context, d distributionConfig, v version.Version, hash, file string) (archive.Item, error) {
	item, err := s.Archive().Import(ctx, file, archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup}, verifier(d, nil))
	if err == nil && !strings.HasPrefix(item.SHA256, strings.ToLower(hash)) {
		err = fmt.Errorf("%w: wanted SHA-256 %s, the file has %s", archive.ErrMismatch, hash, item.SHA256)
	}
	return item, err
}

// present returns the archived Setup of what is installed: the file that was given, or
// as it was named, or else of the version that the probe reports.
func (s *Site) present(ctx context.Context, d distributionConfig, named, file string) (rollback.Release, error) {
	text, hash, _ := strings.Cut(named, "@")
	v, err := version.Parse(text)
	if text == "" {
		v, err = d.ask(ctx)
	}
	if err != nil {
		return rollback.Release{}, &rollback.Error{Reason: rollback.ReasonInstalled, Subject: d.Name, Err: fmt.Errorf("it is not known what is installed: %w", err)}
	}
	switch {
	case v.IsZero() && file != "":
		return rollback.Release{}, &rollback.Error{Reason: rollback.ReasonInstalled, Subject: d.Name, Err: errors.New("nothing is installed, and a Setup was given")}
	case v.IsZero():
		return rollback.Release{}, nil
	case file != "":
		item, err := s.archive(ctx, d, v, hash, file)
		return roles.Release(item), err
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
