package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// An archiveDoc lists what is archived, verified or pruned.
type archiveDoc struct {
	Schema string    `json:"schema"` // aspupdate.archive/1
	Did    string    `json:"did"`    // list, verify, prune or would-prune
	Items  []itemDoc `json:"items"`
}

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
	InUse         string          `json:"in_use,omitempty"`  // committed, pending, rollback or quarantined
	Damaged       string          `json:"damaged,omitempty"` // of verify: the defect

	of archive.Item
}

func newArchiveDoc(did string, items ...archive.Item) archiveDoc {
	d := archiveDoc{"aspupdate.archive/1", did, []itemDoc{}}
	for _, it := range items {
		d.Items = append(d.Items, newItemDoc(it))
	}
	return d
}

// newArchivedDoc is newArchiveDoc with the use that the journal has for each
// item.
func newArchivedDoc(did string, list []site.Archived) archiveDoc {
	d := newArchiveDoc(did)
	for _, it := range list {
		doc := newItemDoc(it.Item)
		doc.InUse = string(it.Use)
		d.Items = append(d.Items, doc)
	}
	return d
}

func newItemDoc(it archive.Item) itemDoc {
	return itemDoc{
		Distribution: it.Distribution, Version: it.Version, Variant: it.Variant, SHA256: it.SHA256, Bytes: it.Size, Path: it.Path,
		Source: it.Source, Archived: it.Archived.UTC(), VouchedBy: it.Vouched.By, Authenticated: it.Vouched.Authenticated, of: it,
	}
}

func (d archiveDoc) print(p *printer) {
	for _, it := range d.Items {
		switch {
		case it.Damaged != "":
			p.line("DAMAGED: %s: %s", it.of.Key, it.Damaged)
		case d.Did == "list":
			p.line("%s, %d bytes, archived %s, vouched for: %s%s", it.of.Key, it.Bytes, p.Time(it.Archived), it.of.Vouched, after(", in use: ", it.InUse))
		default:
			p.line("%s%s", did[d.Did], it.of.Key)
		}
	}
	switch {
	case len(d.Items) > 0:
	case d.Did == "list" || d.Did == "verify":
		p.line("the archive is empty")
	default:
		p.line("nothing to remove")
	}
}

// did is printed before an item that was verified or pruned.
var did = map[string]string{"verify": "intact: ", "prune": "removed: ", "would-prune": "would remove: "}

// after returns value with text before it, or "" if value is empty.
func after(text, value string) string {
	if value == "" {
		return ""
	}
	return text + value
}

func archiveList(_ context.Context, j *job) error {
	list, err := j.Archived()
	return errors.Join(j.show.answer(newArchivedDoc("list", list)), err)
}

func archiveVerify(ctx context.Context, j *job) error {
	list, err := j.Archived()
	if err != nil && !errors.Is(err, rollback.ErrDamaged) { // an item that cannot be read is damaged too
		err = fmt.Errorf("%w: %w", archive.ErrMismatch, err)
	}
	d := newArchivedDoc("verify", list)
	for i, it := range list {
		if bad := j.Archive().Verify(ctx, it.Item); bad != nil {
			d.Items[i].Damaged, err = bad.Error(), errors.Join(err, bad)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(j.show.answer(d), err)
}

func archiveImport(ctx context.Context, j *job) error {
	file, err := argument(j.cmd, "file")
	if err != nil {
		return err
	}
	v, err := version.Parse(j.cmd.String("version"))
	if err != nil {
		return usage("%w", err)
	}
	item, err := j.Import(ctx, file, j.cmd.String("distribution"), v)
	if err == nil && len(j.show.done.Archived) == 0 { // already archived, so there was no event
		j.show.archive(archive.Event{Kind: archive.EventReused, Item: item, Text: fmt.Sprintf("reused %s, vouched for: %s", item.Key, item.Vouched)})
	}
	return err
}

func archivePrune(ctx context.Context, j *job) error {
	keep := archive.Retention{Newest: j.cmd.Int("keep"), Younger: j.cmd.Duration("younger")}
	if keep.Newest < 1 && keep.Younger <= 0 {
		return errKeepWhat
	}
	gone, err := j.PruneArchive(ctx, keep, j.cmd.Bool("dry-run"))
	if gone == nil {
		return err
	}
	return errors.Join(j.show.answer(newArchiveDoc(j.pruned(), gone...)), err)
}

// errKeepWhat refuses to prune without a rule.
var errKeepWhat = usage("a rule for what to keep is missing: --keep 3, --younger 2160h, or both; what is in use is always kept")

// pruned returns what a prune does, for its document.
func (j *job) pruned() string {
	if j.cmd.Bool("dry-run") {
		return "would-prune"
	}
	return "prune"
}
