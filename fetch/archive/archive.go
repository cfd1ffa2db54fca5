package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/share"
	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/version"
)

// An Archive is a directory of versions: every installer that was ever fetched,
// because the vendor's server keeps no history (R10). A rollback installs from
// it.
//
//	<Dir>/<distribution>/<version>/<variant>-<hash>/<installer>
//	                                               /manifest.json
//
// An archived installer never changes and is never replaced: the same version
// with other contents, a re-release, is stored beside the first. Only the
// archive's owner may read and run it. Any number of processes may read while
// one writes; writers wait for one another. An Archive is safe for concurrent
// use.
//
// Only Dir is required.
type Archive struct {
	// Dir is created when it is first needed, for its owner alone. It must not
	// be inside a directory that an update replaces. One that another account can
	// change, itself or through its parents, is refused.
	Dir string

	Retry fetch.Retry // of interrupted transfers
	// Settle is how long the files of a release must have been unchanged, from one
	// sighting to another and by this machine's clock, before Fetch publishes
	// what nothing authenticates: half an upload looks like a file. Zero means ten
	// minutes, negative means no waiting.
	Settle  time.Duration
	Rate    int64       // the most bytes per second of a download; 0 means no limit
	Observe func(Event) // may be nil

	now        func() time.Time // nil means time.Now
	checkpoint int64            // bytes; 0 means the constant of that name
	patience   time.Duration    // with a share; 0 means share.Timeout
}

// A Key identifies an archived installer.
type Key struct {
	Distribution string
	Version      version.Version
	Variant      version.Variant
	// SHA256 is in lower-case hexadecimal digits; empty in a query means the
	// one that was archived last.
	SHA256 string
}

func (k Key) String() string {
	s := fmt.Sprintf("/%s/%s/%s", names.Show(k.Distribution), k.Version, k.Variant)
	if k.SHA256 != "" {
		s += " (SHA-256 " + k.SHA256[:min(len(k.SHA256), 12)] + ")"
	}
	return s
}

func (k Key) check() error {
	if err := names.Check(k.Distribution); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(k.Distribution, "."):
		return &fetch.Error{Op: "check name", Subject: k.Distribution, Err: fmt.Errorf("%w: names with a leading dot are reserved", fetch.ErrUnsafeName)}
	case k.Version.IsZero():
		return errors.New("no version")
	case k.Variant != version.Setup && k.Variant != version.FullSetup:
		return errors.New("no variant: Setup or FullSetup")
	}
	return nil
}

// An Item is one archived installer: a file, or a directory of files. The SHA-256
// of a directory is that of what sha256sum prints for its files, in byte order of
// their paths below it.
type Item struct {
	Key
	Path  string       // of the installer, absolute; its name and extension are the vendor's
	Size  int64        // bytes; of a directory, of all its files together
	Parts []fetch.Part // of a directory: its files, by path; nil for one file

	Source   string    // where it came from: a URL without secrets, or a file
	Modified time.Time // UTC; the time on the server, of a directory that of its newest file; zero if unknown
	Archived time.Time // UTC
	Vouched  Vouched

	// Reused reports that Fetch found it in the archive, hashed it again and
	// downloaded nothing.
	Reused bool
	// Others are the hashes of the same version and variant with other
	// contents: re-releases of one another (R13).
	Others []string
}

// Get returns one archived installer. Its bytes are not read: see
// [Archive.Verify]. For a version that is not there, or damaged, the error is
// [ErrNotFound], and its Next says what to ask support for. A version that cannot
// be read may still be there: it gets a different error.
func (a *Archive) Get(k Key) (Item, error) {
	if err := k.check(); err != nil {
		return Item{}, &fetch.Error{Op: "get", Subject: k.String(), Err: err}
	}
	if err := a.checkOwners(); err != nil && a.Dir != "" {
		return Item{}, err
	}
	var items []Item
	there, err := a.has(k)
	if there {
		items, err = a.items(filepath.Join(k.Distribution, k.Version.String()))
	}
	var hit []Item
	for _, it := range items {
		if it.Variant == k.Variant && (k.SHA256 == "" || strings.EqualFold(k.SHA256, it.SHA256)) {
			hit = append(hit, it)
		}
	}
	if len(hit) == 0 && !isDamage(err) {
		return Item{}, &fetch.Error{Op: "get", Subject: k.String(), Err: err, Next: "make the archive readable: the version may be there"}
	}
	if len(hit) == 0 {
		cause := ErrNotFound
		if err != nil {
			cause = fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		return Item{}, &fetch.Error{Op: "get", Subject: k.String(), Err: cause,
			Next: fmt.Sprintf("ask the vendor's support for %s of %s, version %s, and import the file", k.Variant, names.Show(k.Distribution), k.Version)}
	}
	return slices.MaxFunc(hit, func(x, y Item) int { return x.Archived.Compare(y.Archived) }), nil
}

// List returns all that is archived: by distribution, then the newest version
// first, then by variant, then what was archived last first. If something cannot
// be read, it returns the other items and an error.
func (a *Archive) List() ([]Item, error) {
	var all []Item
	dists, err := a.dirs(".")
	errs := []error{err}
	for _, dist := range dists {
		versions, err := a.dirs(dist)
		errs = append(errs, err)
		for _, v := range versions {
			items, err := a.items(filepath.Join(dist, v))
			all, errs = append(all, items...), append(errs, err)
		}
	}
	slices.SortFunc(all, func(x, y Item) int {
		return cmp.Or(cmp.Compare(x.Distribution, y.Distribution), y.Version.Compare(x.Version),
			cmp.Compare(x.Variant, y.Variant), y.Archived.Compare(x.Archived), cmp.Compare(x.SHA256, y.SHA256))
	})
	return all, errors.Join(errs...)
}

// Entry returns the path of the file to run: the installer itself, or for a
// directory the file of that name below it, separated by slashes. The name may be
// empty where there is no choice.
func (it Item) Entry(name string) (string, error) {
	fail := func(cause error, next string) (string, error) {
		return "", &fetch.Error{Op: "find the entry point of", Subject: it.String(), Err: cause, Next: next}
	}
	switch {
	case it.Parts == nil && (name == "" || name == filepath.Base(it.Path)):
		return it.Path, nil
	case it.Parts == nil:
		return fail(fmt.Errorf("the installer is one file, %s", names.Show(filepath.Base(it.Path))), "omit the entry point")
	case name == "" && len(it.Parts) == 1:
		name = it.Parts[0].Path
	case name == "":
		return fail(fmt.Errorf("the installer is a directory of %d files", len(it.Parts)), "name the file to run")
	case !slices.ContainsFunc(it.Parts, func(p fetch.Part) bool { return p.Path == name }):
		return fail(fmt.Errorf("file %s not found in it", names.Show(name)), "name a file of the directory, separated by slashes")
	}
	return filepath.Join(it.Path, filepath.FromSlash(name)), nil
}

// Verify reads an archived installer back from disk and compares its hash. If a
// file has changed, or was added later, the error is [ErrMismatch].
func (a *Archive) Verify(ctx context.Context, it Item) error {
	sum, size, err := it.hash(ctx)
	if ctx.Err() != nil {
		return &fetch.Error{Op: "verify", Subject: it.String(), Err: context.Cause(ctx)}
	}
	if err != nil {
		return &fetch.Error{Op: "verify", Subject: it.String(), Err: err, Next: "check the disk, and fetch or import the version again"}
	}
	if sum != it.SHA256 || size != it.Size {
		return &fetch.Error{Op: "verify", Subject: it.String(), Err: fmt.Errorf("%w: archived with SHA-256 %s and %d bytes, now %s and %d bytes", ErrMismatch, it.SHA256, it.Size, sum, size),
			Next: "check the disk, and fetch or import the version again"}
	}
	if err := checkAlone(it.Path); err != nil {
		return &fetch.Error{Op: "verify", Subject: it.String(), Err: err, Next: "remove what was not archived"}
	}
	return nil
}

// checkAlone returns an error if something beside an installer was not archived
// with it, such as a DLL that Windows would load from there.
func checkAlone(installer string) error {
	entries, err := durable.ReadDir(filepath.Dir(installer))
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == filepath.Base(installer), name == manifestName:
		case strings.HasPrefix(name, "."+manifestName+".tmp-"): // a crash left it
		default:
			return fmt.Errorf("%w: %s is beside it", ErrMismatch, names.Show(name))
		}
	}
	return nil
}

// hash reads an item from disk.
func (it Item) hash(ctx context.Context) (sum string, size int64, err error) {
	if it.Parts == nil {
		return hashFile(ctx, it.Path)
	}
	parts, err := localParts(ctx, it.Path, share.Timeout)
	if err != nil {
		return "", 0, err
	}
	for i, p := range parts {
		if p.SHA256, size, err = hashFile(ctx, filepath.Join(it.Path, filepath.FromSlash(p.Path))); err != nil {
			return "", 0, err
		}
		p.Size = size
		parts[i] = p
	}
	size, _ = measure(parts)
	return hashParts(parts), size, nil
}

// dirs returns the names of the visible directories below Dir/rel. One that was
// not made yet has none.
func (a *Archive) dirs(rel string) ([]string, error) {
	if a.Dir == "" {
		return nil, errNoDir
	}
	if err := a.checkOwners(); err != nil {
		return nil, err
	}
	dir := filepath.Join(a.Dir, rel)
	entries, err := durable.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if fi, statErr := os.Lstat(dir); statErr != nil || fi.IsDir() {
			return nil, nil //nolint:nilerr // nothing is there
		}
		err = errors.New("not a directory") // Windows reports it as not existing
	}
	if err != nil {
		return nil, &fetch.Error{Op: "read archive", Subject: dir, Err: err}
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// checkOwners refuses an archive that another account can change.
func (a *Archive) checkOwners() error {
	if err := private.Check(a.Dir); err != nil {
		return &fetch.Error{Op: "open archive", Subject: a.Dir, Err: err}
	}
	return nil
}

var errNoDir = errors.New("the archive has no directory: set Archive.Dir")

// has reports whether a version has its directory. Links are not followed, and
// another spelling that the system treats as the same name, such as by letter
// case, is refused: it would give one directory two names.
func (a *Archive) has(k Key) (bool, error) {
	dir := "."
	for _, name := range []string{k.Distribution, k.Version.String()} {
		names, err := a.dirs(dir)
		if err != nil {
			return false, err
		}
		if !slices.Contains(names, name) {
			there, err := a.appeared(dir, name, names)
			if !there || err != nil {
				return false, err
			}
		}
		dir = filepath.Join(dir, name)
	}
	return true, nil
}

// appeared reports whether the directory dir/name, which is not among names, was
// created after these were read.
func (a *Archive) appeared(dir, name string, names []string) (bool, error) {
	it, err := os.Lstat(filepath.Join(a.Dir, dir, name))
	if err != nil {
		return false, nil //nolint:nilerr // nothing is there
	}
	otherwise := func(n string) bool {
		other, err := os.Lstat(filepath.Join(a.Dir, dir, n))
		return err == nil && os.SameFile(it, other)
	}
	if !it.IsDir() || slices.ContainsFunc(names, otherwise) {
		return false, &fetch.Error{Op: "read archive", Subject: filepath.Join(dir, name), Err: fmt.Errorf("%w: a link, a file or another spelling of the name is there", fetch.ErrUnsafeName),
			Next: "spell it as the archive does, or move away what is there"}
	}
	return true, nil
}

// items reads the manifests of one version's directory.
func (a *Archive) items(rel string) ([]Item, error) {
	var items []Item
	var errs []error
	base, err := filepath.Abs(a.Dir)
	if err != nil {
		return nil, err
	}
	names, err := a.dirs(rel)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir := filepath.Join(base, rel, name)
		it, err := readManifest(dir)
		if err != nil {
			if _, gone := os.Lstat(dir); errors.Is(gone, fs.ErrNotExist) {
				continue // pruned just now
			}
			errs = append(errs, &fetch.Error{Op: "read archive", Subject: filepath.Join(rel, name), Err: err, Next: "the directory was left as it is"})
			continue
		}
		items = append(items, it)
	}
	for i := range items {
		for _, other := range items {
			if other.Variant == items[i].Variant && other.SHA256 != items[i].SHA256 {
				items[i].Others = append(items[i].Others, other.SHA256)
			}
		}
	}
	return items, errors.Join(errs...)
}

// itemDir is the directory of an item, relative to Dir. Half of the hash keeps
// paths short enough for installers; the manifest has all of it.
func itemDir(k Key) string {
	return filepath.Join(k.Distribution, k.Version.String(), k.Variant.String()+"-"+k.SHA256[:32])
}

// checkSpace returns an error if the volume has too little space.
func (a *Archive) checkSpace(need int64) error {
	const reserve = 1 << 20 // manifests, directories, journals
	vol, err := durable.VolumeOf(a.Dir)
	if err != nil {
		return err
	}
	if need > vol.Free-reserve {
		return a.noSpace(fmt.Errorf("%d bytes needed, %d free", need, max(vol.Free-reserve, 0)))
	}
	return nil
}

// diskError makes err an [ErrNoSpace] if the disk is full.
func (a *Archive) diskError(err error) error {
	if isNoSpace(err) {
		return a.noSpace(err)
	}
	return err
}

func (a *Archive) noSpace(cause error) error {
	return &fetch.Error{Op: "archive", Subject: a.Dir, Err: fmt.Errorf("%w: %w", ErrNoSpace, cause),
		Next: "free some space and run again: a download is resumed"}
}

func hashFile(ctx context.Context, name string) (sum string, size int64, err error) {
	f, err := openRegular(name)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err = io.Copy(h, ctxio.Reader(ctx, f))
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// openRegular opens a regular file. A pipe would wait for a writer.
func openRegular(name string) (*os.File, error) {
	fi, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: not a regular file", ErrMismatch)}
	}
	return durable.Open(name)
}
