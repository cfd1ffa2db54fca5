package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/internal/copies"
)

// A copiesDoc is what was copied, verified or restored.
type copiesDoc struct {
	Schema  string        `json:"schema"` // aspupdate.copies/1
	Did     string        `json:"did"`    // run, verify, key or restore
	Dir     string        `json:"dir"`    // the second place; of restore the new directory
	Copies  []copies.Copy `json:"copies"` // that were made or restored
	Removed []copies.Copy `json:"removed,omitempty"`
	Checked int           `json:"checked,omitempty"` // of verify: how many
	Signed  bool          `json:"signed,omitempty"`  // of restore: the list is the old machine's
	Damaged []string      `json:"damaged,omitempty"` // of restore: what is left out, and why
	Key     string        `json:"key,omitempty"`     // of key: shows whose copies they are
}

func (d copiesDoc) print(p *printer) {
	for _, c := range d.Copies {
		was := ""
		for name, v := range c.Versions {
			was += after(", ", name+" "+v)
		}
		switch d.Did {
		case "restore":
			p.line("restored: %s %s of %s%s: %s", c.Kind, c.Name, p.Time(c.Of), was, filepath.Join(d.Dir, filepath.FromSlash(c.Path)))
		default:
			p.line("copied: %s %s of %s%s, %d bytes, read back there", c.Kind, c.Name, p.Time(c.Of), was, c.Bytes)
		}
	}
	for _, c := range d.Removed {
		p.line("removed: the copy of %s %s of %s", c.Kind, c.Name, p.Time(c.Of))
	}
	for _, text := range d.Damaged {
		p.line("LEFT OUT: %s", text)
	}
	switch {
	case d.Did == "key":
		p.line("%s", d.Key)
	case d.Did == "verify":
		p.line("%d copies in %s were read back", d.Checked, d.Dir)
	case d.Did == "run" && len(d.Copies) == 0:
		p.line("nothing new to copy to %s", d.Dir)
	case d.Did == "restore" && !d.Signed:
		p.line("NOT AUTHENTICATED: without --signer it is not known who wrote these copies: compare what is in them before you run or restore any of it")
	}
}

func copiesRun(ctx context.Context, j *job) error {
	beNice()
	done, err := j.Copy(ctx)
	if len(done.New)+len(done.Gone) == 0 && err != nil {
		return err
	}
	return errors.Join(j.show.answer(copiesDoc{Schema: "aspupdate.copies/1", Did: "run", Dir: j.Config.Copies.Dir, Copies: append([]copies.Copy{}, done.New...), Removed: done.Gone}), err)
}

func copiesVerify(ctx context.Context, j *job) error {
	beNice()
	n, err := j.VerifyCopies(ctx)
	if err != nil {
		return err
	}
	return j.show.answer(copiesDoc{Schema: "aspupdate.copies/1", Did: "verify", Dir: j.Config.Copies.Dir, Copies: []copies.Copy{}, Checked: n})
}

func copiesKey(_ context.Context, j *job) error {
	p, err := j.Place()
	if err != nil {
		return err
	}
	key := p.PublicKey()
	if key == "" {
		return usage("there is no key before the first aspupdate copies run")
	}
	return j.show.answer(copiesDoc{Schema: "aspupdate.copies/1", Did: "key", Dir: p.Dir, Copies: []copies.Copy{}, Key: key})
}

func copiesRestore(ctx context.Context, show *printer, cmd *cli.Command) error {
	signer, unsigned := cmd.String("signer"), cmd.String("unsigned")
	if (signer == "") == (unsigned == "") {
		return configured(cmd, usage("give either --signer, the key that aspupdate copies key printed on the old machine, or the reason to go without in --unsigned"))
	}
	keys, err := copies.ReadIdentities(cmd.String("identity"))
	if err != nil {
		return configured(cmd, usage("--identity: %w", err))
	}
	into, err := filepath.Abs(cmd.String("into"))
	if err != nil {
		return err
	}
	r, err := copies.Restore(ctx, cmd.String("from"), keys, signer, into)
	if err != nil {
		return configured(cmd, err)
	}
	d := copiesDoc{Schema: "aspupdate.copies/1", Did: "restore", Dir: into, Copies: append([]copies.Copy{}, r.Copies...), Signed: r.Signed}
	bad := r.Damaged
	store := backup.Store{Dir: filepath.Join(into, "backups")}
	for _, c := range r.Copies {
		if c.Kind != "snapshot" {
			continue
		}
		if err := store.Verify(ctx, cmp.Or(c.Ref, c.ID)); err != nil {
			bad = append(bad, err)
		}
	}
	for _, err := range bad {
		d.Damaged = append(d.Damaged, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if err := show.answer(d); err != nil || len(bad) == 0 {
		return err
	}
	return configured(cmd, fmt.Errorf("%w: %d of %d are left out", copies.ErrDamaged, len(bad), len(r.Copies)+len(r.Damaged)))
}

// backupsRestore restores everything on a machine that has nothing yet.
func backupsRestore(ctx context.Context, j *job) error {
	done, err := j.RestoreNew(ctx)
	for _, text := range done {
		j.show.line("%s", text)
	}
	return err
}
