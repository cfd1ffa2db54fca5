package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/version"
)

// Fetch fetches the newest release into the archive, for every distribution of a
// bundle (R4).
func (s *Site) Fetch(ctx context.Context) error {
	return s.withNewest(ctx, s.finder(), func(found []fetch.Release) error {
		_, err := s.fetched(ctx, found)
		return err
	})
}

// Import adds a Setup that support sent to the archive.
func (s *Site) Import(ctx context.Context, file, distribution string, v version.Version) (archive.Item, error) {
	for _, d := range s.Config.Distributions {
		if d.Name == distribution {
			return s.Archive().Import(ctx, file, archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup}, verifier(d, s.Source()))
		}
	}
	return archive.Item{}, fmt.Errorf("%w: no [[distribution]] has the name %s", ErrConfig, distribution)
}

// withNewest calls use with the newest releases on the server, and again if they
// were replaced meanwhile: the server keeps only one version.
func (s *Site) withNewest(ctx context.Context, f fetch.Finder, use func([]fetch.Release) error) error {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		found, err := s.newest(ctx, f)
		if err != nil {
			return err
		}
		if err = use(found); !errors.Is(err, fetch.ErrChanged) || attempt == attempts {
			return err
		}
		if s.Observe.Replaced != nil {
			s.Observe.Replaced(err)
		}
	}
}

// newest returns what to install from the server, in the order of the
// distributions: one release, or the newest number that every distribution of a
// bundle has (R4).
func (s *Site) newest(ctx context.Context, f fetch.Finder) ([]fetch.Release, error) {
	if s.Offline {
		return s.newestArchived()
	}
	found, err := s.newestOnServer(ctx, f)
	if err == nil && f.Settle >= 0 { // a plan writes nothing
		s.remember(found)
	}
	return found, err
}

func (s *Site) newestOnServer(ctx context.Context, f fetch.Finder) ([]fetch.Release, error) {
	s.insecure()
	var bundle []string
	for _, d := range s.Config.Distributions {
		bundle = append(bundle, d.Name)
	}
	if len(bundle) == 1 {
		r, err := f.Latest(ctx, s.Source(), bundle[0], s.variant())
		return []fetch.Release{r}, err
	}
	return f.Joint(ctx, s.Source(), bundle, s.variant())
}

func (s *Site) finder() fetch.Finder {
	c := s.Config.Server
	return fetch.Finder{
		Layout: fetch.Layout{Root: c.Root}, Betas: c.Betas, Settle: time.Duration(c.Settle), Observe: s.Observe.Find,
		Sightings: s.Archive().Sightings(),
		Vouched: func(distribution string, v version.Version, variant version.Variant) bool {
			i := slices.IndexFunc(s.Config.Distributions, func(d distributionConfig) bool { return d.Name == distribution })
			return i >= 0 && s.Config.Distributions[i].authenticates(v, variant)
		},
	}
}

// insecure warns at each run of a certificate that is not checked.
func (s *Site) insecure() {
	if why := s.Config.Server.TLSInsecure; why != "" && s.Observe.Warn != nil {
		s.Observe.Warn("INSECURE: the certificate of the server is not checked, because: " + why)
	}
}

func (s *Site) variant() version.Variant {
	if s.First {
		return version.FullSetup
	}
	return version.Setup
}

// fetched fetches the releases into the archive.
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

// inArchive returns the releases as they are in the archive.
func (s *Site) inArchive(ctx context.Context, found []fetch.Release) ([]release, error) {
	to := make([]release, len(found))
	for i, d := range s.Config.Distributions {
		item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: found[i].Version, Variant: s.variant()})
		if errors.Is(err, archive.ErrNotFound) && !s.Offline {
			err = fmt.Errorf("%s %s: %w", d.Name, found[i].Version, ErrNotFetched)
		}
		if err == nil && s.Offline {
			err = s.vouched(ctx, d, item)
		}
		if err != nil {
			return nil, err
		}
		to[i] = archived(item)
	}
	return to, nil
}
