// Package copies keeps encrypted copies of directories in a second place: another
// disk, or a share that is mounted. Only the public keys of those who may open
// them are on this machine, so that it cannot read what it has copied.
//
// A copy is a tar archive in the format of age (age-encryption.org): people open it
// with "age --decrypt" and "tar", without this program. Age does not say who encrypted a file.
// Therefore the list of the copies, [ContentsFile], has the SHA-256 of each and is
// signed by a key of this machine: who can write to the place can destroy copies, and not
// have others restored instead, by those who know the key that verifies the list.
//
// A copy is written under a hidden name, synced, read back and compared, and only
// then gets its name. What is interrupted is done again. Copies and lists
// are made by one process at a time.
package copies

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

var (
	// ErrPlace means that the second place is away, read only, or not what it was.
	ErrPlace = errors.New("the second place cannot be used")
	// ErrDamaged means that a copy is not what was copied: changed, cut short, or missing.
	ErrDamaged = errors.New("the copy is damaged")
	// ErrKey means that a key does not open a copy, or that another one has signed the list.
	ErrKey = errors.New("wrong key")
)

// The names of files in the place, besides the copies.
const (
	ContentsFile  = "contents.json"
	signatureFile = "contents.sig"
	manualFile    = "README.txt"
	tempPrefix    = ".copying-"
)

// A Copy is one encrypted copy.
type Copy struct {
	File   string    `json:"file"`   // its name in the place
	Kind   string    `json:"kind"`   // snapshot, installer, configuration or roles
	Name   string    `json:"name"`   // of what: retention counts the copies of one kind and name
	ID     string    `json:"id"`     // which of that name it is; a copy with an ID is made once
	Of     time.Time `json:"of"`     // how old what was copied is, UTC
	Copied time.Time `json:"copied"` // UTC
	Bytes  int64     `json:"bytes"`  // of the file
	SHA256 string    `json:"sha256"` // of the file

	Ref      string            `json:"ref,omitempty"`      // of a snapshot: the reference with the hash of its manifest
	Versions map[string]string `json:"versions,omitempty"` // of a snapshot: what was installed, by distribution
	Path     string            `json:"path,omitempty"`     // where it is unpacked to, slash-separated
}

// Contents is the list of all copies.
type Contents struct {
	Host   string    `json:"host"`
	Signed time.Time `json:"signed"` // UTC
	Copies []Copy    `json:"copies"` // in the order in which they were made
}

// find returns the copy with that kind and ID.
func (c *Contents) find(kind, id string) *Copy {
	for i := range c.Copies {
		if c.Copies[i].Kind == kind && c.Copies[i].ID == id {
			return &c.Copies[i]
		}
	}
	return nil
}

// A Source is what is to be copied.
type Source struct {
	Copy                    // Kind, Name, ID, Of and Ref, Versions, Path
	Files map[string]string // by the path in the archive: a file or a directory with all in it
	Data  map[string][]byte // likewise: what is in no file, because only the readers of the copy may see it
}

// A Place is the second place, and what this machine knows of it.
type Place struct {
	Dir        string
	Recipients []age.Recipient
	State      string           // a directory of this machine: the list, and the key that signs it
	Now        func() time.Time // nil means time.Now
}

func (p *Place) now() time.Time {
	if p.Now != nil {
		return p.Now().UTC()
	}
	return time.Now().UTC()
}

// ParseRecipients reads public keys, such as age1….
func ParseRecipients(keys []string) (list []age.Recipient, err error) {
	for _, key := range keys {
		if strings.HasPrefix(strings.ToUpper(key), "AGE-SECRET-KEY") {
			return nil, errors.New("a recipient is a public key, age1…: a secret key does not belong on this machine")
		}
		r, err := age.ParseRecipients(strings.NewReader(key))
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", key, err)
		}
		list = append(list, r...)
	}
	return list, nil
}

// Known returns the list as this machine has it. Nothing of the place is read.
func (p *Place) Known() (Contents, error) {
	var c Contents
	data, err := os.ReadFile(filepath.Join(p.State, ContentsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	return c, err
}

// Ready fails unless the place is there, can be written, and is the one that the
// known copies are in: below a mount point where nothing is mounted, the first disk
// would be filled.
func (p *Place) Ready() error {
	fi, err := os.Stat(p.Dir)
	if err == nil && !fi.IsDir() {
		err = fmt.Errorf("%s is not a directory", p.Dir)
	}
	if err != nil {
		return fmt.Errorf("%w: is it mounted? %w", ErrPlace, err)
	}
	known, err := p.Known()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(p.Dir, ContentsFile)); err != nil && len(known.Copies) > 0 {
		return fmt.Errorf("%w: %s should have %d copies, and has no %s: mount the right disk or share; if they are lost for good, remove %s on this machine and copy anew",
			ErrPlace, p.Dir, len(known.Copies), ContentsFile, filepath.Join(p.State, ContentsFile))
	}
	if len(known.Copies) == 0 {
		if there, _, err := readContents(p.Dir, ""); err == nil && len(there.Copies) > 0 {
			return fmt.Errorf("%w: %s has %d copies of %s, which are not in this machine's list: give a directory of its own", ErrPlace, p.Dir, len(there.Copies), there.Host)
		}
	}
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPlace, err)
	}
	for _, e := range entries { // what an interrupted run left
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.Remove(filepath.Join(p.Dir, e.Name())); err != nil {
				return fmt.Errorf("%w: %w", ErrPlace, err)
			}
		}
	}
	probe := filepath.Join(p.Dir, tempPrefix+"probe")
	err = os.WriteFile(probe, []byte("x"), 0o600)
	if err = errors.Join(err, os.Remove(probe)); err != nil {
		return fmt.Errorf("%w: it cannot be written: %w", ErrPlace, err)
	}
	return nil
}

// Missing returns those of the sources that have no copy in the list, or whose
// copy is not in the place with the size that it had.
func (p *Place) Missing(sources []Source) ([]Source, error) {
	known, err := p.Known()
	if err != nil {
		return nil, err
	}
	var missing []Source
	for _, s := range sources {
		c := known.find(s.Kind, s.ID)
		if c != nil {
			fi, err := os.Lstat(filepath.Join(p.Dir, c.File))
			if err == nil && fi.Mode().IsRegular() && fi.Size() == c.Bytes {
				continue
			}
		}
		missing = append(missing, s)
	}
	return missing, nil
}

// Put copies a source, and returns the copy once it was read back from the place.
func (p *Place) Put(ctx context.Context, s Source) (Copy, error) {
	c := s.Copy
	sum := sha256.Sum256([]byte(c.Kind + "\x00" + c.ID))
	c.File = c.Kind + "-" + c.Of.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(sum[:6]) + ".tar.age"
	temp := filepath.Join(p.Dir, tempPrefix+c.File)
	err := p.write(ctx, temp, s, &c)
	if err == nil {
		err = matches(ctx, temp, c) // as it is on the disk
	}
	if err == nil {
		if err = os.Rename(temp, filepath.Join(p.Dir, c.File)); err == nil {
			err = syncDir(p.Dir)
		}
	}
	if err != nil {
		_ = os.Remove(temp)
		return Copy{}, fmt.Errorf("copy %s %s: %w", c.Kind, c.Name, err)
	}
	c.Copied = p.now()
	known, err := p.Known()
	if err != nil {
		return Copy{}, err
	}
	known.Copies = slices.DeleteFunc(known.Copies, func(old Copy) bool { return old.Kind == c.Kind && old.ID == c.ID })
	known.Copies = append(known.Copies, c)
	return c, p.publish(known)
}

func (p *Place) write(ctx context.Context, temp string, s Source, c *Copy) error {
	out, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	sum := sha256.New()
	counted := &counter{w: io.MultiWriter(out, sum)}
	buffered := bufio.NewWriterSize(counted, 1<<20)
	sealed, err := age.Encrypt(buffered, p.Recipients...)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(sealed)
	for _, name := range sorted(s.Files) {
		if err := pack(ctx, tw, name, s.Files[name]); err != nil {
			return err
		}
	}
	for name, data := range s.Data {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(data)), ModTime: c.Of, Format: tar.FormatPAX}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(data); err != nil {
			return err
		}
	}
	if err := errors.Join(tw.Close(), sealed.Close(), buffered.Flush(), out.Sync(), out.Close()); err != nil {
		return err
	}
	c.Bytes, c.SHA256 = counted.n, hex.EncodeToString(sum.Sum(nil))
	return nil
}

// pack adds a file, or a directory with all in it. Anything but files and
// directories is an error: snapshots and archived installers have no others.
func pack(ctx context.Context, tw *tar.Writer, name, path string) error {
	return filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(path, at)
		if err != nil {
			return err
		}
		to := filepath.ToSlash(filepath.Join(name, rel))
		fi, err := d.Info()
		if err != nil {
			return err
		}
		h := &tar.Header{Name: to, Mode: int64(fi.Mode().Perm()), ModTime: fi.ModTime(), Format: tar.FormatPAX}
		switch {
		case d.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, to+"/"
			return tw.WriteHeader(h)
		case !fi.Mode().IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory", at)
		}
		in, err := os.Open(at) //nolint:gosec // archive and backups are this account's alone
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		h.Typeflag, h.Size = tar.TypeReg, fi.Size()
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.Copy(tw, reader{ctx, in})
		return err
	})
}

// matches compares a file with what was written.
func matches(ctx context.Context, path string, c Copy) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing", ErrDamaged, filepath.Base(path))
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	dropCache(f)
	sum := sha256.New()
	n, err := io.Copy(sum, reader{ctx, f})
	switch {
	case err != nil:
		return err
	case n != c.Bytes:
		return fmt.Errorf("%w: %s has %d bytes, and %d were written", ErrDamaged, c.File, n, c.Bytes)
	case hex.EncodeToString(sum.Sum(nil)) != c.SHA256:
		return fmt.Errorf("%w: the bytes of %s are not those that were written", ErrDamaged, c.File)
	}
	return nil
}

// Verify reads every copy back and compares it with the list of this machine, and
// that list with the one in the place. The errors are in the order of the list.
func (p *Place) Verify(ctx context.Context) (n int, errs []error) {
	known, err := p.Known()
	if err != nil {
		return 0, []error{err}
	}
	if err := p.Ready(); err != nil {
		return 0, []error{err}
	}
	for _, c := range known.Copies {
		if err := matches(ctx, filepath.Join(p.Dir, c.File), c); err != nil {
			if ctx.Err() != nil {
				return n, []error{ctx.Err()}
			}
			errs = append(errs, err)
		}
		n++
	}
	there, _, err := readContents(p.Dir, p.PublicKey())
	if err == nil && !slices.EqualFunc(there.Copies, known.Copies, func(a, b Copy) bool { return a.SHA256 == b.SHA256 && a.File == b.File }) {
		err = fmt.Errorf("%w: %s is not the list of this machine", ErrDamaged, ContentsFile)
	}
	if err != nil {
		errs = append(errs, err)
	}
	return n, errs
}

// Prune removes copies: it keeps the newest of each kind and name, keep of them, and
// those that needed says are needed. What is not in the list is not touched.
func (p *Place) Prune(keep int, needed func(Copy) bool) (gone []Copy, err error) {
	known, err := p.Known()
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	var stay []Copy
	byAge := slices.Clone(known.Copies)
	slices.SortStableFunc(byAge, func(a, b Copy) int { return b.Of.Compare(a.Of) })
	for _, c := range byAge {
		key := c.Kind + "\x00" + c.Name
		if seen[key]++; seen[key] <= max(1, keep) || needed(c) {
			continue
		}
		gone = append(gone, c)
	}
	if len(gone) == 0 {
		return nil, nil
	}
	for _, c := range known.Copies {
		if !slices.ContainsFunc(gone, func(g Copy) bool { return g.File == c.File }) {
			stay = append(stay, c)
		}
	}
	known.Copies = stay
	if err := p.publish(known); err != nil { // first: what is in the list is there
		return nil, err
	}
	for _, c := range gone {
		if rerr := os.Remove(filepath.Join(p.Dir, c.File)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return gone, err
}

// publish signs the list, and writes it on this machine and to the place.
func (p *Place) publish(c Contents) error {
	key, err := p.key()
	if err != nil {
		return err
	}
	c.Host, _ = os.Hostname() // only shown to people
	c.Signed = p.now()
	body, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	body = append(body, '\n')
	sig := []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(key, body)) + "\n")
	if err := replace(filepath.Join(p.State, ContentsFile), body); err != nil {
		return err
	}
	// A list that does not fit its signature is repaired by Republish.
	for _, f := range []struct {
		name string
		data []byte
	}{{manualFile, []byte(manual)}, {signatureFile, sig}, {ContentsFile, body}} {
		if err := replace(filepath.Join(p.Dir, f.name), f.data); err != nil {
			return fmt.Errorf("%w: %w", ErrPlace, err)
		}
	}
	return nil
}

// Republish writes the list to the place again if another one is there, or none.
func (p *Place) Republish() error {
	known, err := p.Known()
	if err != nil || len(known.Copies) == 0 {
		return err
	}
	there, _, err := readContents(p.Dir, p.PublicKey())
	if err == nil && there.Signed.Equal(known.Signed) {
		return nil
	}
	return p.publish(known)
}

const keyFile = "signing.key"

// key returns the key that signs the list, and makes it.
func (p *Place) key() (ed25519.PrivateKey, error) {
	path := filepath.Join(p.State, keyFile)
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		seed = make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // never fails, see crypto/rand
		if err = os.MkdirAll(p.State, 0o700); err == nil {
			err = replace(path, seed)
		}
	}
	if err == nil && len(seed) != ed25519.SeedSize {
		err = fmt.Errorf("%s is not a key", path)
	}
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// PublicKey returns the key by which the list is verified, to be kept with the key that opens
// the copies; "" if there is none yet.
func (p *Place) PublicKey() string {
	if _, err := os.Stat(filepath.Join(p.State, keyFile)); err != nil {
		return ""
	}
	key, err := p.key()
	if err != nil {
		return ""
	}
	pub, _ := key.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(pub)
}

// replace writes a file so that after a crash it is the old or the new one.
func replace(path string, data []byte) error {
	temp := filepath.Join(filepath.Dir(path), tempPrefix+filepath.Base(path))
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(data))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

func sorted(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// A reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

const manual = `These files are encrypted copies of a server's backups, made by aspupdate.

contents.json lists them. To check a file:   sha256sum FILE
To open one with the secret key, without aspupdate:

    age --decrypt --identity KEYFILE FILE.tar.age | tar -x

To get everything back on a new machine:

    aspupdate copies restore --from THIS-DIRECTORY --identity KEYFILE --signer KEY --into NEW-DIRECTORY

KEY is the line that "aspupdate copies key" printed on the old machine. It shows that no one
else has put these files here.
`
