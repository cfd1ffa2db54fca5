package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/owner"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
)

// Target is a [backup.Target] made of the caller's commands. Live and the
// commands Backup and Restore are required. One value is used by one call at
// a time.
type Target struct {
	// Live is what is backed up, as the commands name it. Without Names it is
	// the absolute path of a file on this machine that is no link; with Names
	// a database's name. What is made beside it has this name with up to
	// 30 characters more at its end.
	Live string
	// Commands copy the data.
	Commands Commands
	// Names are for what is no file on this machine. Files are listed, renamed
	// and removed without any command.
	Names Names
	// Logs, if given, is a folder in which all that the commands print to
	// standard output and error is kept, a file for each call, 0600. It is
	// made when it is missing and may lie in the store's folder. Files in it
	// are never removed here. What List, Describe and Version print to
	// standard output is not kept.
	Logs string
}

// Commands copy the data there and back.
type Commands struct {
	// Backup writes {live} to {file}, or anything into the folder {dir}. Exit
	// code 0 without a file that has something in it is a failure.
	Backup Command
	// Verify, if given, checks {file} before the snapshot is sealed. It may do
	// so by a trial restore into {new}, which does not exist: what it makes
	// there is compared and dropped. It can be the same command as Restore.
	Verify Command
	// Restore makes {new}, which does not exist yet, out of {file}. It neither
	// touches {live} nor writes into {dir}.
	Restore Command
	// Describe, if given, prints what is in {name}, the same text for the same
	// data: numbers of rows, sums, or all of it, but nothing that a restore may
	// give out anew, such as the numbers that isql prints for blobs. It is asked about the live
	// data by Backup and about each restored copy, and a difference is an error
	// that wraps [ErrDiffers]. Only the SHA-256 of what it prints is kept. Few
	// tools notice a changed bit in what they restore: this does.
	Describe Command
	// Version, if given, prints the engine and its version in its first line.
	Version Command
}

// Names are the commands for what is told by a name and not by a path: the
// databases of a server. All three are given, or none.
type Names struct {
	// List prints the names that exist, one a line, in UTF-8, also of what is
	// half restored. What counts is what it prints, not how Rename and Drop end.
	List Command
	// Rename gives {from} the name {to}, which does not exist: where it does,
	// Rename fails. A swap that has begun is not cut short by the context: what
	// bounds it is the Timeout.
	Rename Command
	// Drop removes {name}, also where it is half restored.
	Drop Command
}

var (
	_ backup.Target = (*Target)(nil)
	_ backup.Tidier = (*Target)(nil)
	_ backup.Sizer  = (*Target)(nil)
)

// ErrDiffers says that what was restored is not what was backed up. The live
// data is as it was.
var ErrDiffers = errors.New("the restored data is not the data that was backed up")

const (
	kind     = "command"
	fileName = "backup" // in the snapshot, the {file}
)

type detail struct {
	Live   string       `json:"live"`
	Digest string       `json:"digest,omitempty"` // SHA-256 of what Describe printed
	Owner  *owner.Owner `json:"owner,omitempty"`  // of a live file
}

// call is one call of a method: the commands that it runs share a log.
type call struct {
	*Target
	slot *swap.Slot
	log  string // "" until something was written
	name string // of the method
}

// begin checks the commands and puts in order what a killed run left.
func (t *Target) begin(ctx context.Context, name string) (*call, error) {
	c, err := t.open(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return c, c.slot.Recover(ctx)
}

// open checks the commands.
func (t *Target) open(name string) (*call, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	c := &call{Target: t, name: name}
	if t.named() {
		c.slot = &swap.Slot{Live: t.Live, Place: named{c}}
		return c, nil
	}
	var err error
	if c.slot, err = swap.At(t.Live); err != nil {
		return nil, err
	}
	if fi, err := os.Lstat(c.slot.Live); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", c.slot.Live)
	}
	return c, nil
}

func (t *Target) named() bool { return len(t.Names.List.Argv) > 0 }

// Backup implements [backup.Target].
func (t *Target) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	c, err := t.begin(ctx, "backup")
	if err != nil {
		return backup.Meta{}, failed("backing up", t.Live, err)
	}
	m, err := c.backup(ctx, dir)
	m.Target = t.Live
	return m, failed("backing up", t.Live, err)
}

func (c *call) backup(ctx context.Context, dir string) (m backup.Meta, err error) {
	live, err := c.slot.IsLive(ctx)
	if err != nil {
		return m, err
	}
	if !live {
		return m, errors.New("it is not there: correct Live, or what Names.List prints")
	}
	m.Kind = kind
	d := detail{Live: c.slot.Live}
	if !c.named() {
		fi, err := os.Lstat(c.slot.Live)
		if err != nil {
			return m, err
		}
		of := owner.Of(fi)
		d.Owner = &of
	}
	if len(c.Commands.Version.Argv) > 0 {
		if m.Engine, err = c.version(ctx); err != nil {
			return m, err
		}
	}
	if d.Digest, err = c.describe(ctx, c.slot.Live); err != nil {
		return m, err
	}
	if err := c.run(ctx, "backup", c.Commands.Backup, c.inSnapshot(dir, ""), nil); err != nil {
		return m, err
	}
	if err := c.wrote(dir); err != nil {
		return m, err
	}
	if err := c.verify(ctx, dir, d); err != nil {
		return m, err
	}
	m.Detail, err = json.Marshal(d)
	return m, err
}

// wrote reports an error unless the command has written a backup, whatever
// its exit code said.
func (c *call) wrote(dir string) error {
	err := errors.New("it says that all is well and has written nothing")
	if c.Commands.Backup.uses("{file}") {
		if fi, serr := os.Lstat(filepath.Join(dir, fileName)); serr == nil && fi.Mode().IsRegular() && fi.Size() > 0 {
			return nil
		}
	} else if serr := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, serr error) error {
		if serr != nil || !d.Type().IsRegular() {
			return serr
		}
		if fi, serr := d.Info(); serr != nil {
			return serr
		} else if fi.Size() > 0 {
			err = nil
		}
		return nil
	}); serr != nil {
		return serr
	}
	if err != nil {
		return &Error{Step: "backup", Program: c.Commands.Backup.program(), Log: c.log, Err: err}
	}
	return nil
}

// verify runs Verify, and compares and drops what it restored on trial.
func (c *call) verify(ctx context.Context, dir string, d detail) error {
	v := c.Commands.Verify
	if len(v.Argv) == 0 {
		return nil
	}
	if !v.uses("{new}") {
		return c.run(ctx, "verify", v, c.inSnapshot(dir, ""), nil)
	}
	return c.slot.Try(ctx, func(trial string) error {
		if err := c.run(ctx, "verify", v, c.inSnapshot(dir, trial), nil); err != nil {
			return err
		}
		if there, err := c.exists(ctx, trial); err != nil || !there {
			return err // a tool may have dropped it by itself
		}
		return c.compare(ctx, trial, d)
	})
}

func (c *call) exists(ctx context.Context, name string) (bool, error) {
	all, err := c.slot.Place.List(ctx)
	return slices.Contains(all, name), err
}

// compare asks Describe about a restored copy.
func (c *call) compare(ctx context.Context, name string, d detail) error {
	digest, err := c.describe(ctx, name)
	if err == nil && digest != d.Digest {
		err = fmt.Errorf("%w: describe prints something else", ErrDiffers)
	}
	return err
}

// describe returns the SHA-256 of what Describe prints, "" if there is none.
func (c *call) describe(ctx context.Context, name string) (string, error) {
	if len(c.Commands.Describe.Argv) == 0 {
		return "", nil
	}
	sum := sha256.New()
	out := &counter{w: sum}
	if err := c.run(ctx, "describe", c.Commands.Describe, vars{"{live}": c.slot.Live, "{name}": name}, out); err != nil {
		return "", err
	}
	if out.n == 0 {
		return "", &Error{Step: "describe", Program: c.Commands.Describe.program(), Log: c.log, Err: errors.New("it printed nothing")}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (c *call) version(ctx context.Context) (string, error) {
	out := &head{max: 64 << 10}
	err := c.run(ctx, "version", c.Commands.Version, vars{"{live}": c.slot.Live}, out)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(strings.TrimSpace(printable(out.b)), "\n")
	return strings.ToValidUTF8(line[:min(len(line), 200)], ""), nil
}

// inSnapshot are the placeholders of the commands that see the snapshot.
func (c *call) inSnapshot(dir, fresh string) vars {
	return vars{"{live}": c.slot.Live, "{dir}": dir, "{file}": filepath.Join(dir, fileName), "{new}": fresh}
}

// Tidy implements [backup.Tidier]: what restores kept aside is dropped.
func (t *Target) Tidy(ctx context.Context) error {
	c, err := t.begin(ctx, "tidy")
	if err == nil {
		err = c.slot.Tidy(ctx)
	}
	return failed("tidying up after", t.Live, err)
}

// Needs implements [backup.Sizer]. It can tell only of a file: backups are
// taken to be as large as it, and anything else is the caller's to know.
func (t *Target) Needs(context.Context) ([]backup.Need, error) {
	c, err := t.open("needs")
	if err != nil || t.named() {
		return nil, err
	}
	fi, err := os.Stat(c.slot.Live)
	if err != nil {
		return nil, err
	}
	return swap.Needs(c.slot.Live, fi.Size()), nil
}

func failed(doing, live string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", doing, live, err)
}
