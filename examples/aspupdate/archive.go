package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// An itemDoc is one archived installer.
type itemDoc struct {
	Distribution  string          `json:"distribution"`
	Version       version.Version `json:"version"`
	Variant       version.Variant `json:"variant"`
	SHA256        string          `json:"sha256"`
	Bytes         int64           `json:"bytes"`
	Path          string          `json:"path"`
	Source        string          `json:"source"`
	Archived      time.Time       `json:"archived"`
	VouchedBy     string          `json:"vouched_by"`
	Authenticated bool            `json:"authenticated"`
	InUse         string          `json:"in_use,omitempty"`  // committed, pending, way back or quarantined
	Damaged       string          `json:"damaged,omitempty"` // of verify: what is wrong with it
}

func newItemDoc(it fetch.Item) itemDoc {
	return itemDoc{
		Distribution: it.Distribution, Version: it.Version, Variant: it.Variant, SHA256: it.SHA256, Bytes: it.Size, Path: it.Path,
		Source: it.Source, Archived: it.Archived.UTC(), VouchedBy: it.Vouched.By, Authenticated: it.Vouched.Authenticated,
	}
}

// An archiveDoc is what archive list shows, verify read, or prune removed.
type archiveDoc struct {
	Schema string    `json:"schema"` // aspupdate.archive/1
	Did    string    `json:"did"`    // list, verify, prune or would-prune
	Items  []itemDoc `json:"items"`
}

func (d archiveDoc) print(p *printer) {
	what := map[string]string{"verify": "whole: ", "prune": "removed: ", "would-prune": "would remove: "}[d.Did]
	for _, it := range d.Items {
		vouched := fetch.Vouched{By: it.VouchedBy, Authenticated: it.Authenticated}
		key := fetch.Key{Distribution: it.Distribution, Version: it.Version, Variant: it.Variant, SHA256: it.SHA256}
		switch {
		case it.Damaged != "":
			p.line("DAMAGED: %s: %s", key, it.Damaged)
		case d.Did == "list":
			if it.InUse != "" {
				it.InUse = ", in use: " + it.InUse
			}
			p.line("%s, %d bytes, archived %s, vouched for: %s%s", key, it.Bytes, p.time(it.Archived), vouched, it.InUse)
		default:
			p.line("%s%s", what, key)
		}
	}
	switch {
	case len(d.Items) > 0:
	case d.Did == "list" || d.Did == "verify":
		p.line("nothing is archived")
	default:
		p.line("nothing to remove")
	}
}

func runArchiveList(_ context.Context, s *site, _ *cli.Command) error {
	items, err := s.archive.List()
	st, stErr := rollback.ReadStatus(s.conf.State)
	errs := []error{err, stErr}
	uses := map[fetch.Key]rollback.Use{}
	for _, u := range st.Uses() {
		k, err := useKey(u)
		errs = append(errs, err)
		uses[k] = u.Use
	}
	d := archiveDoc{Schema: "aspupdate.archive/1", Did: "list", Items: []itemDoc{}}
	for _, it := range items {
		doc := newItemDoc(it)
		doc.InUse = string(uses[versionKey(it.Key)])
		d.Items = append(d.Items, doc)
	}
	return errors.Join(append([]error{s.show.answer(d)}, errs...)...)
}

func runArchiveVerify(ctx context.Context, s *site, _ *cli.Command) error {
	items, err := s.archive.List()
	if err != nil { // what cannot be read is not what it was either
		err = fmt.Errorf("%w: %w", fetch.ErrMismatch, err)
	}
	d := archiveDoc{Schema: "aspupdate.archive/1", Did: "verify", Items: []itemDoc{}}
	for _, it := range items {
		doc := newItemDoc(it)
		if bad := s.archive.Verify(ctx, it); bad != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			doc.Damaged = bad.Error()
			err = errors.Join(err, bad)
		}
		d.Items = append(d.Items, doc)
	}
	return errors.Join(s.show.answer(d), err)
}

func runArchiveImport(ctx context.Context, s *site, cmd *cli.Command) error {
	file, err := argument(cmd, "file")
	if err != nil {
		return err
	}
	v, err := version.Parse(cmd.String("version"))
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	for _, d := range s.conf.Distributions {
		if d.Name == cmd.String("distribution") {
			item, err := s.archive.Import(ctx, file, fetch.Key{Distribution: d.Name, Version: v, Variant: version.Setup}, verifier(d, s.source))
			if err == nil && len(s.show.done.Archived) == 0 { // nothing new, so that the archive did not tell
				s.show.fetch(fetch.Event{Kind: fetch.EventReused, Item: item})
			}
			return err
		}
	}
	return fmt.Errorf("%w: there is no [[distribution]] %s", errConfig, cmd.String("distribution"))
}

// runArchivePrune removes old versions.
func runArchivePrune(ctx context.Context, s *site, cmd *cli.Command) error {
	keep := fetch.Keep{Newest: cmd.Int("keep"), Younger: cmd.Duration("younger")}
	if keep.Newest < 1 && keep.Younger <= 0 {
		return fmt.Errorf("%w: say what stays besides what is in use: --keep 3, --younger 2160h, or both", errConfig)
	}
	d := archiveDoc{Schema: "aspupdate.archive/1", Did: "prune", Items: []itemDoc{}}
	prune := func(inUse []fetch.Key) ([]fetch.Item, error) { return s.archive.Prune(ctx, keep, inUse) }
	if cmd.Bool("dry-run") {
		d.Did = "would-prune"
		prune = func(inUse []fetch.Key) ([]fetch.Item, error) { return s.archive.Prunable(keep, inUse) }
	}
	do := func() error {
		inUse, err := s.inUse(ctx)
		if err != nil {
			return err
		}
		items, err := prune(inUse)
		if errors.Is(err, fetch.ErrNotArchived) {
			return fmt.Errorf("%w: %w", errPrevious, err)
		}
		for _, it := range items {
			d.Items = append(d.Items, newItemDoc(it))
		}
		return errors.Join(s.show.answer(d), err)
	}
	if cmd.Bool("dry-run") {
		return do()
	}
	return s.locked("pruning the archive", do)
}

// inUse returns the versions that must stay in any case.
func (s *site) inUse(ctx context.Context) ([]fetch.Key, error) {
	st, err := rollback.ReadStatus(s.conf.State)
	if err != nil {
		return nil, err
	}
	items, _ := s.archive.List() // pruning tells what cannot be read
	keys := []fetch.Key{}
	for _, u := range st.Uses() {
		k, err := useKey(u)
		if err != nil {
			return nil, err
		}
		// That one was lost which nothing needs is no reason to keep all others for ever.
		if u.Use.Vital() || slices.ContainsFunc(items, func(it fetch.Item) bool { return versionKey(it.Key) == k }) {
			keys = append(keys, k)
		}
	}
	for _, d := range s.conf.Distributions {
		text, err := newProbe(d.Probe, nil).Version(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: which version is installed, and must stay in the archive? %w", d.Name, err)
		}
		v, err := parseOrZero(text)
		if err != nil {
			return nil, fmt.Errorf("%s: the probe answers %q: %w", d.Name, text, err)
		}
		if !v.IsZero() {
			keys = append(keys, fetch.Key{Distribution: d.Name, Version: v})
		}
	}
	return keys, nil
}

// useKey is what pruning goes by, of a release that the journal names.
func useKey(u rollback.InUse) (fetch.Key, error) {
	v, err := version.Parse(u.Release.Version)
	if err != nil {
		err = fmt.Errorf("the journal has %s %s of %s: %w", u.Use, u.Release.Version, u.Part, err)
	}
	return fetch.Key{Distribution: u.Part, Version: v}, err
}

func versionKey(k fetch.Key) fetch.Key {
	return fetch.Key{Distribution: k.Distribution, Version: k.Version}
}
