package command

import (
	"cmp"
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
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// Target is a [backup.Target] made of the caller's commands. Live and the
// commands Backup and Restore are required. A Target must not be used by two calls
// at a time.
type Target struct {
	// Live is what is backed up, as the commands name it: the absolute path of
	// a file on this machine that is not a link, or a database's name if List, Rename
	// and Drop are set. What is made beside it has this name and up to 30
	// characters more. A file is restored in a directory that only this account
	// can enter, and gets its owner and its name when it is complete.
	Live     string
	Commands Commands
	// Logs, if set, is a directory for what the commands print to standard output
	// and error: a file for each call, with mode 0600. It is created if it is
	// missing, and may be in the store's directory. Nothing in it is ever removed. What
	// List, Describe and Version print to standard output is not kept.
	Logs string
}

// Commands are what a Target runs.
type Commands struct {
	// Backup writes {live} to {file}, or any files into {dir}. If nothing was
	// written it has failed, whatever its exit code.
	Backup Command
	// Verify, if set, checks {file} before the snapshot is sealed. It may do so by
	// a trial restore to {new}, which does not exist: the result is compared and
	// dropped. It can be the same command as Restore.
	Verify Command
	// Restore makes {new}, which does not exist, from {file}. It neither touches
	// {live} nor writes into {dir}.
	Restore Command
	// Describe, if set, prints what is in {name}, the same text for the same data:
	// numbers of rows, sums, or all of it, but nothing that a restore may
	// renumber, such as the numbers that isql prints for blobs. Backup runs it
	// on the live data, and each restored copy is compared with that; the error
	// of a difference wraps [backup.ErrMismatch]. Only the SHA-256 of the text
	// is kept. Few tools notice a changed bit in what they restore: this does.
	Describe Command
	// Version, if set, prints the engine and its version in its first line.
	Version Command

	// List, Rename and Drop are for databases of a server; files need none of
	// them. All three are set, or none.
	//
	// List prints the names that exist, one a line, in UTF-8, including those of
	// half restored databases. What it prints decides whether Rename and Drop have
	// succeeded.
	List Command
	// Rename renames {from} to {to}, and fails if {to} exists. The end of the
	// context does not interrupt a swap that has begun: only the Timeout does.
	Rename Command
	// Drop removes {name}, even if it is half restored.
	Drop Command
}

var (
	_ backup.Target = (*Target)(nil)
	_ backup.Tidier = (*Target)(nil)
	_ backup.Sizer  = (*Target)(nil)
	_ backup.Prover = (*Target)(nil)
)

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

// begin opens a call and finishes or undoes what a killed run left.
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

func (t *Target) open(name string) (*call, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	c := &call{Target: t, name: name}
	if t.onServer() {
		c.slot = &swap.Slot{Live: t.Live, Place: server{c}}
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

func (t *Target) onServer() bool { return t.Commands.List.given() }

// Backup implements [backup.Target].
func (t *Target) Backup(ctx context.Context, dir string) (m backup.Meta, err error) {
	c, err := t.begin(ctx, "backup")
	if err == nil {
		m, err = c.backup(ctx, dir)
	}
	m.Target = t.Live
	return m, failed("back up", t.Live, err)
}

func (c *call) backup(ctx context.Context, dir string) (m backup.Meta, err error) {
	live, err := c.slot.IsLive(ctx)
	if err != nil {
		return m, err
	}
	if !live {
		return m, errors.New("not found: correct Live, or what List prints")
	}
	m.Kind = kind
	d := detail{Live: c.slot.Live}
	if !c.onServer() {
		if err := c.slot.Buildable(); err != nil {
			return m, err
		}
		before, ierr := c.identify()
		if ierr != nil {
			return m, ierr
		}
		if err := c.slot.TryFile(ctx, owner.Of(before)); err != nil {
			return m, err
		}
		of := owner.Of(before)
		d.Owner = &of
		release, perr := tree.Pin(c.slot.Live) // or another account could lead the commands to another file, and back
		if perr != nil {
			return m, perr
		}
		const next = "stop the application first"
		defer func() { // the owner belongs to the file that the commands have read
			now, lerr := c.identify()
			changed := release()
			switch why := cmp.Or(changed, lerr); {
			case err != nil:
			case why != nil:
				err = &backup.Error{Err: fmt.Errorf("the file was replaced while it was backed up: %w", why), Next: next}
			case !os.SameFile(before, now):
				err = &backup.Error{Err: errors.New("the file was replaced while it was backed up"), Next: next}
			}
		}()
	}
	if m.Engine, err = c.version(ctx); err != nil {
		return m, err
	}
	if d.Digest, err = c.describe(ctx, c.slot.Live); err != nil {
		return m, err
	}
	if err := c.run(ctx, "backup", c.Commands.Backup, c.inSnapshot(dir, ""), nil); err != nil {
		return m, err
	}
	if wrote, err := c.wrote(dir); err != nil {
		return m, err
	} else if !wrote {
		return m, c.noEffect("backup", c.Commands.Backup, "wrote nothing")
	}
	if err := c.verify(ctx, dir, d); err != nil {
		return m, err
	}
	m.Detail, err = json.Marshal(d)
	return m, err
}

// identify returns which file is live.
func (c *call) identify() (fs.FileInfo, error) {
	fi, err := os.Lstat(c.slot.Live)
	if err == nil {
		_ = os.SameFile(fi, fi) // Windows finds out which file it is when it is first compared
	}
	return fi, err
}

// wrote reports whether the command has written a backup.
func (c *call) wrote(dir string) (wrote bool, err error) {
	if c.Commands.Backup.uses("{file}") {
		fi, err := os.Lstat(filepath.Join(dir, fileName))
		return err == nil && fi.Mode().IsRegular() && fi.Size() > 0, nil
	}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		wrote = wrote || err == nil && fi.Size() > 0
		return err
	})
	return wrote, err
}

// verify runs Verify, and compares and drops what a trial restore has made.
func (c *call) verify(ctx context.Context, dir string, d detail) error {
	v := c.Commands.Verify
	if !v.given() {
		return nil
	}
	if !v.uses("{new}") {
		return c.run(ctx, "verify", v, c.inSnapshot(dir, ""), nil)
	}
	return c.slot.Try(ctx, func(name string) error {
		err := c.make(name, nil, func(name string) error {
			if err := c.run(ctx, "verify", v, c.inSnapshot(dir, name), nil); err != nil {
				return err
			}
			there, err := c.exists(ctx, name)
			if err == nil && !there {
				err = errDropped
			}
			if err != nil {
				return err
			}
			return c.compare(ctx, name, d, nil)
		})
		if errors.Is(err, errDropped) {
			err = nil
		}
		return err
	})
}

// errDropped means that a tool has dropped its trial restore itself.
var errDropped = errors.New("dropped")

// make has restore make the new name: a database under that name, or a file in
// a directory of ours, from where it gets its owner and its name.
func (c *call) make(name string, own *owner.Owner, restore func(name string) error) error {
	if c.onServer() {
		return restore(name)
	}
	return c.slot.Build(name, own, restore)
}

func (c *call) exists(ctx context.Context, name string) (bool, error) {
	if !c.onServer() {
		_, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	all, err := c.slot.Place.List(ctx)
	return slices.Contains(all, name), err
}

// compare runs Describe on a restored copy. The hash of what it prints says in which way it differs.
func (c *call) compare(ctx context.Context, name string, d detail, accepted []string) error {
	digest, err := c.describe(ctx, name)
	if err != nil || digest == d.Digest {
		return err
	}
	return swap.Unaccepted([]string{fmt.Sprintf("Describe prints something else (SHA-256 %s)", digest)}, accepted, func(diff []string) error {
		return fmt.Errorf("%w: %s", backup.ErrMismatch, diff[0])
	})
}

// describe returns the SHA-256 of what Describe prints, "" if it is not set.
func (c *call) describe(ctx context.Context, name string) (string, error) {
	if !c.Commands.Describe.given() {
		return "", nil
	}
	sum := sha256.New()
	out := &counter{w: sum}
	if err := c.run(ctx, "describe", c.Commands.Describe, vars{"{live}": c.slot.Live, "{name}": name}, out); err != nil {
		return "", err
	}
	if out.n == 0 {
		return "", c.noEffect("describe", c.Commands.Describe, "printed nothing")
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// version returns the first line that Version prints, "" if it is not set.
func (c *call) version(ctx context.Context) (string, error) {
	if !c.Commands.Version.given() {
		return "", nil
	}
	out := &head{max: 64 << 10}
	err := c.run(ctx, "version", c.Commands.Version, vars{"{live}": c.slot.Live}, out)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(strings.TrimSpace(printable(out.b)), "\n")
	return strings.ToValidUTF8(line[:min(len(line), 200)], ""), nil
}

// inSnapshot returns the placeholders of the commands that use the snapshot.
func (c *call) inSnapshot(dir, name string) vars {
	return vars{"{live}": c.slot.Live, "{dir}": dir, "{file}": filepath.Join(dir, fileName), "{new}": name}
}

// Tidy implements [backup.Tidier]: it drops what restores kept aside.
func (t *Target) Tidy(ctx context.Context) error {
	c, err := t.begin(ctx, "tidy")
	if err == nil {
		err = c.slot.Tidy(ctx)
	}
	return failed("tidy", t.Live, err)
}

// Needs implements [backup.Sizer]. It assumes that backups of a file are as
// large as the file, and returns nothing for the database of a server.
func (t *Target) Needs(ctx context.Context) ([]backup.Need, error) {
	c, err := t.open("needs")
	if err != nil || t.onServer() {
		return nil, err
	}
	if err := c.slot.Buildable(); err != nil {
		return nil, failed("prepare a restore of", t.Live, err)
	}
	release, err := tree.Pin(c.slot.Live) // a backup needs that
	if err == nil {
		err = release()
	}
	if err != nil {
		return nil, failed("prepare a backup of", t.Live, err)
	}
	fi, err := os.Lstat(c.slot.Live)
	if err != nil {
		return nil, err
	}
	if durable.MayTry(ctx) {
		if err := c.slot.TryFile(ctx, owner.Of(fi)); err != nil {
			return nil, failed("prepare a restore of", t.Live, err)
		}
	}
	return c.slot.Needs(fi.Size()), nil
}

// failed wraps err with the operation, or returns nil if err is nil.
func failed(op, live string, err error) error {
	if err == nil {
		return nil
	}
	return &backup.Error{Op: op, Subject: live, Err: err}
}
