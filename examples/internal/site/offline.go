package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/version"
)

// newestArchived returns what to install without the server, in the order of the
// distributions: [Site.Version], or else the newest number that is archived for
// every distribution (R4, R10).
func (s *Site) newestArchived() ([]fetch.Release, error) {
	items, err := s.Archive().List() // what cannot be read does not hide the rest
	var newest []fetch.Release
	for i, v := range s.archivedVersions(items) {
		missing := s.lacks(items, v)
		if len(missing) == 0 {
			for _, d := range s.Config.Distributions {
				newest = append(newest, fetch.Release{Distribution: d.Name, Version: v})
			}
			return newest, nil
		}
		if i == 0 && s.Observe.Find != nil {
			s.Observe.Find(fetch.Event{Kind: fetch.EventIncomplete, Time: time.Now(), Version: v, Missing: missing,
				Text: fmt.Sprintf("a newer joint release is incomplete in the archive: %v", missing)})
		}
	}
	cause := fmt.Errorf("%w: the archive has none that every distribution has", fetch.ErrNoRelease)
	if !s.Version.IsZero() {
		cause = fmt.Errorf("%w: the archive does not have %s of every distribution", fetch.ErrNoRelease, s.Version)
	}
	return nil, errors.Join(&fetch.Error{Op: "find", Subject: s.Config.Archive, Err: cause,
		Next: "ask support for the file, then aspupdate archive import"}, err)
}

// archivedVersions returns the versions that may be chosen, the newest first.
func (s *Site) archivedVersions(items []archive.Item) (versions []version.Version) {
	for _, it := range items {
		if it.Version == s.Version || s.Version.IsZero() && (s.Config.Server.Betas || !it.Version.IsBeta()) {
			versions = append(versions, it.Version)
		}
	}
	slices.SortFunc(versions, func(a, b version.Version) int { return b.Compare(a) })
	return slices.Compact(versions)
}

// lacks returns what the archive does not have of a version.
func (s *Site) lacks(items []archive.Item, v version.Version) (missing []fetch.Missing) {
	for _, d := range s.Config.Distributions {
		for _, variant := range slices.Compact([]version.Variant{version.Setup, s.variant()}) {
			if !slices.ContainsFunc(items, func(it archive.Item) bool {
				return it.Distribution == d.Name && it.Version == v && it.Variant == variant
			}) {
				missing = append(missing, fetch.Missing{Distribution: d.Name, Version: v, Variant: variant, Reason: "not in the archive"})
			}
		}
	}
	return missing
}

// vouched returns an error unless an archived file is intact, and is vouched for
// by the configuration as it is now.
func (s *Site) vouched(ctx context.Context, d distributionConfig, it archive.Item) error {
	if err := s.Archive().Verify(ctx, it); err != nil {
		return err
	}
	_, err := verifier(d, nil).Verify(ctx, archive.Candidate{
		Key: it.Key, Path: it.Path, Name: filepath.Base(it.Path), Size: it.Size, Parts: it.Parts, Source: it.Source,
	})
	return err
}

// newerInArchive adds to an error of the server that the archive has a newer
// release than the installed one.
func (s *Site) newerInArchive(err error, installed []release) error {
	offline := *s
	offline.Offline, offline.Version, offline.Observe = true, version.Version{}, Observe{}
	newest, aerr := offline.newestArchived()
	if aerr != nil {
		return err
	}
	for i, r := range newest {
		if r.Version.Compare(installed[i].version) > 0 {
			return fmt.Errorf("%w; the archive has %s: --offline installs it", err, r.Version)
		}
	}
	return err
}

// ServerState is what the server had when it was last asked.
type ServerState struct {
	At     time.Time                  `json:"at"`     // UTC
	Newest map[string]version.Version `json:"newest"` // by distribution
}

func (s *Site) serverFile() string { return filepath.Join(s.Config.State, "server.json") }

// remember keeps what the server said, for people. That it cannot be written is
// no reason to stop.
func (s *Site) remember(found []fetch.Release) {
	t := ServerState{time.Now().UTC().Truncate(time.Second), map[string]version.Version{}}
	for _, r := range found {
		t.Newest[r.Distribution] = r.Version
	}
	b, err := json.Marshal(t)
	if err != nil {
		return
	}
	if _, err := os.Stat(s.Config.State); err == nil { // without a state directory nothing has run here yet
		_ = replaceFile(s.serverFile(), append(b, '\n'))
	}
}

// ServerState returns what the server had when it was last asked, nil if that is not
// known.
func (s *Site) ServerState() *ServerState {
	b, err := readFile(s.serverFile())
	var t ServerState
	if err != nil || json.Unmarshal(b, &t) != nil || t.At.IsZero() {
		return nil
	}
	return &t
}
