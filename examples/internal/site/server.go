package site

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/version"
)

// Fetch looks on the server and brings the newest release into the archive,
// of a bundle every distribution's (R4).
func (s *Site) Fetch(ctx context.Context) error {
	return s.look(ctx, func(found []fetch.Release) error {
		_, err := s.fetched(ctx, found)
		return err
	})
}

// Import takes a Setup into the archive that came from the support.
func (s *Site) Import(ctx context.Context, file, distribution string, v version.Version) (archive.Item, error) {
	for _, d := range s.Config.Distributions {
		if d.Name == distribution {
			return s.Archive().Import(ctx, file, archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup}, verifier(d, s.Source()))
		}
	}
	return archive.Item{}, fmt.Errorf("%w: there is no [[distribution]] %s", ErrConfig, distribution)
}

// look gives use what is newest on the server, and again if that was replaced
// meanwhile: the server keeps one version.
func (s *Site) look(ctx context.Context, use func([]fetch.Release) error) error {
	const looks = 3
	for look := 1; ; look++ {
		found, err := s.newest(ctx)
		if err != nil {
			return err
		}
		if err = use(found); !errors.Is(err, fetch.ErrChanged) || look == looks {
			return err
		}
		if s.Observe.Replaced != nil {
			s.Observe.Replaced(err)
		}
	}
}

// newest looks on the server for what to install: one release, or the newest
// number that a bundle has whole (R4). The order is that of the distributions.
func (s *Site) newest(ctx context.Context) ([]fetch.Release, error) {
	s.insecure()
	f := s.finder()
	var bundle []fetch.Wanted
	for _, d := range s.Config.Distributions {
		bundle = append(bundle, fetch.Wanted{Distribution: d.Name, Variant: s.variant()})
	}
	if len(bundle) == 1 {
		r, err := f.Latest(ctx, s.Source(), bundle[0].Distribution, bundle[0].Variant)
		return []fetch.Release{r}, err
	}
	return f.Joint(ctx, s.Source(), bundle, fetch.SameNumber)
}

func (s *Site) finder() fetch.Finder {
	c := s.Config.Server
	return fetch.Finder{Layout: fetch.Layout{Root: c.Root}, Betas: c.Betas, Settle: time.Duration(c.Settle), Observe: s.Observe.Find}
}

// insecure says so at each run.
func (s *Site) insecure() {
	if why := s.Config.Server.TLSInsecure; why != "" && s.Observe.Warn != nil {
		s.Observe.Warn("INSECURE, the server's certificate is not checked, because: " + why)
	}
}

func (s *Site) variant() version.Variant {
	if s.First {
		return version.FullSetup
	}
	return version.Setup
}

// fetched brings what was found into the archive.
func (s *Site) fetched(ctx context.Context, found []fetch.Release) ([]release, error) {
	to := make([]release, len(found))
	for i, d := range s.Config.Distributions {
		item, err := s.Archive().Fetch(ctx, s.Source(), found[i], s.variant(), verifier(d, s.Source()))
		if err != nil {
			return nil, err
		}
		to[i] = archived(item)
	}
	return to, nil
}

// inArchive returns what was found as it is in the archive.
func (s *Site) inArchive(_ context.Context, found []fetch.Release) ([]release, error) {
	to := make([]release, len(found))
	for i, d := range s.Config.Distributions {
		item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: found[i].Version, Variant: s.variant()})
		if errors.Is(err, archive.ErrNotFound) {
			err = fmt.Errorf("%s %s: %w", d.Name, found[i].Version, ErrNotFetched)
		}
		if err != nil {
			return nil, err
		}
		to[i] = archived(item)
	}
	return to, nil
}
