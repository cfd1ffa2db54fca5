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
	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/version"
)

// An Archive is a folder of versions: each installer that was ever fetched,
// because the vendor's server keeps no history (R10). What makes a rollback
// possible is here.
//
//	<Dir>/<distribution>/<version>/<variant>-<hash>/<installer>
//	                                               /manifest.json
//
// An installer that is there never changes and is never replaced: the same
// version with other contents, a re-release, lies beside the first. It may be
// read and run by the archive's owner alone. Any number of processes may read
// while one writes; writers wait for one another.
//
// Only Dir is required.
type Archive struct {
	// Dir is made when it is first needed, for its owner alone. It must not
	// lie inside a folder that an update replaces.
	Dir string

	Retry   fetch.Retry      // of broken transfers
	Rate    int64            // bytes a second that a download may take at most; 0 means no limit
	Now     func() time.Time // nil means time.Now
	Observe func(Event)      // nil means silence

	checkpoint int64 // bytes; 0 means the constant of that name
}

// A Key names what is archived.
type Key struct {
	Distribution string
	Version      version.Version
	Variant      version.Variant
	// SHA256 is in lower-case hexadecimal digits; when looking, empty means
	// whichever was archived last.
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
		return &fetch.Error{Op: "check name", Name: k.Distribution, Reason: fetch.ErrUnsafeName, Err: errors.New("the archive keeps names with a dot before them for itself")}
	case k.Version.IsZero():
		return errors.New("no version given")
	case k.Variant != version.Setup && k.Variant != version.FullSetup:
		return errors.New("no variant given: Setup or FullSetup")
	}
	return nil
}

// An Item is one archived installer: a file, or a folder of files. The SHA-256
// of a folder is that of what sha256sum prints for its files, in byte order of
// their paths below it.
type Item struct {
	Key
	Path  string       // of the installer, absolute; its name and extension are the vendor's
	Size  int64        // bytes; of a folder, of all its files together
	Parts []fetch.Part // of a folder: its files, by path; nil for one file

	Source   string    // where it came from: a URL without secrets, or a file
	Modified time.Time // UTC; what the server told, of a folder the newest; zero where it did not
	Archived time.Time // UTC
	Vouched  Vouched

	// Reused reports that this call found it in the archive, hashed it again
	// and downloaded nothing.
	Reused bool
	// Others are the hashes of the same version and variant with other
	// contents: re-releases of one another (R13).
	Others []string
}

// Get returns one archived installer. Its bytes are not read: see
// [Archive.Verify]. A version that is not there, or not whole, is
// [fetch.ErrNotArchived], and the error says what to ask the vendor's support for.
// One that could not be read may be there all the same: that is another error.
func (a *Archive) Get(k Key) (Item, error) {
	if err := k.check(); err != nil {
		return Item{}, &fetch.Error{Op: "get", Name: k.String(), Err: err}
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
		return Item{}, &fetch.Error{Op: "get", Name: k.String(), Reason: fetch.Reason(err), Err: err, Hint: "see what keeps the archive from being read: the version may be there"}
	}
	if len(hit) == 0 {
		return Item{}, &fetch.Error{Op: "get", Name: k.String(), Reason: fetch.ErrNotArchived, Err: err,
			Hint: fmt.Sprintf("ask the vendor's support for %s of %s, version %s, and import the file", k.Variant, names.Show(k.Distribution), k.Version)}
	}
	return slices.MaxFunc(hit, func(x, y Item) int { return x.Archived.Compare(y.Archived) }), nil
}

// List returns all that is archived: by distribution, then the newest
// version first, then by variant, then what was archived last first. What
// cannot be read is told by the error, beside the items that can.
func (a *Archive) List() ([]Item, error) {
	var all []Item
	dists, err := a.folders(".")
	errs := []error{err}
	for _, dist := range dists {
		versions, err := a.folders(dist)
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
// folder the file of that name below it, separated by slashes. An empty name
// will do where there is no choice.
func (it Item) Entry(name string) (string, error) {
	fail := func(why error, hint string) (string, error) {
		return "", &fetch.Error{Op: "find the entry point of", Name: it.String(), Err: why, Hint: hint}
	}
	switch {
	case it.Parts == nil && (name == "" || name == filepath.Base(it.Path)):
		return it.Path, nil
	case it.Parts == nil:
		return fail(fmt.Errorf("it is one file, %s", names.Show(filepath.Base(it.Path))), "leave the entry point out")
	case name == "" && len(it.Parts) == 1:
		name = it.Parts[0].Path
	case name == "":
		return fail(fmt.Errorf("it is a folder of %d files", len(it.Parts)), "name the file to run")
	case !slices.ContainsFunc(it.Parts, func(p fetch.Part) bool { return p.Path == name }):
		return fail(fmt.Errorf("there is no file %s in it", names.Show(name)), "name a file of the folder, separated by slashes")
	}
	return filepath.Join(it.Path, filepath.FromSlash(name)), nil
}

// Verify reads an archived installer back from disk and compares its hashes.
// A file that is not what it was, or that was put there later, is
// [fetch.ErrMismatch].
func (a *Archive) Verify(ctx context.Context, it Item) error {
	sum, size, err := it.hash(ctx)
	if ctx.Err() != nil {
		return &fetch.Error{Op: "verify", Name: it.String(), Err: context.Cause(ctx)}
	}
	if err != nil {
		return &fetch.Error{Op: "verify", Name: it.String(), Reason: fetch.Reason(err), Err: err, Hint: "check the disk, and fetch or import the version again"}
	}
	if sum != it.SHA256 || size != it.Size {
		return &fetch.Error{Op: "verify", Name: it.String(), Reason: fetch.ErrMismatch,
			Err:  fmt.Errorf("archived with SHA-256 %s and %d bytes, now %s and %d bytes", it.SHA256, it.Size, sum, size),
			Hint: "check the disk, and fetch or import the version again"}
	}
	if err := alone(it.Path); err != nil {
		return &fetch.Error{Op: "verify", Name: it.String(), Reason: fetch.Reason(err), Err: err, Hint: "remove what nobody archived"}
	}
	return nil
}

// alone reports what lies beside an installer and was not archived with it,
// such as a DLL that Windows would load from there.
func alone(installer string) error {
	entries, err := durable.ReadDir(filepath.Dir(installer))
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == filepath.Base(installer), name == manifestName:
		case strings.HasPrefix(name, "."+manifestName+".tmp-"): // a crash left it
		default:
			return fmt.Errorf("%w: %s lies beside it", fetch.ErrMismatch, names.Show(name))
		}
	}
	return nil
}

// hash reads an item from disk.
func (it Item) hash(ctx context.Context) (sum string, size int64, err error) {
	if it.Parts == nil {
		return hashFile(ctx, it.Path)
	}
	parts, err := localTree(it.Path)
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
	size, _ = whole(parts)
	return sumTree(parts), size, nil
}

// folders returns the names of the visible folders below Dir/rel. One that was
// not made yet has none.
func (a *Archive) folders(rel string) ([]string, error) {
	if a.Dir == "" {
		return nil, errNoDir
	}
	dir := filepath.Join(a.Dir, rel)
	entries, err := durable.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if fi, statErr := os.Lstat(dir); statErr != nil || fi.IsDir() {
			return nil, nil //nolint:nilerr // nothing is there
		}
		err = errors.New("it is not a directory") // which Windows does not find
	}
	if err != nil {
		return nil, &fetch.Error{Op: "read archive", Name: dir, Err: err}
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

var errNoDir = errors.New("the archive has no folder: set Archive.Dir")

// has reports whether a version has its folder. Links are not followed, and
// another spelling that the system takes for the same name, by letter case
// for instance, is refused: it would give one folder two names.
func (a *Archive) has(k Key) (bool, error) {
	dir := "."
	for _, name := range []string{k.Distribution, k.Version.String()} {
		names, err := a.folders(dir)
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

// appeared reports whether the folder dir/name, which is not among names, was
// made after these were read.
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
		return false, &fetch.Error{Op: "read archive", Name: filepath.Join(dir, name), Reason: fetch.ErrUnsafeName,
			Err: errors.New("a link, a file or another spelling of its name lies there"), Hint: "spell it as the archive does, or move away what is there"}
	}
	return true, nil
}

// items reads the manifests of one version's folder.
func (a *Archive) items(rel string) ([]Item, error) {
	var items []Item
	var errs []error
	base, err := filepath.Abs(a.Dir)
	if err != nil {
		return nil, err
	}
	names, err := a.folders(rel)
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
			errs = append(errs, &fetch.Error{Op: "read archive", Name: filepath.Join(rel, name), Err: err, Hint: "the folder was left as it is"})
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

// itemDir is where an item lies, relative to Dir. Half of the hash keeps
// paths short enough for installers; the manifest has all of it.
func itemDir(k Key) string {
	return filepath.Join(k.Distribution, k.Version.String(), k.Variant.String()+"-"+k.SHA256[:32])
}

// space refuses to start what cannot end well.
func (a *Archive) space(need int64) error {
	const reserve = 1 << 20 // manifests, folders, journals
	vol, err := durable.VolumeOf(a.Dir)
	if err != nil {
		return err
	}
	if need > vol.Free-reserve {
		return &fetch.Error{Op: "archive", Name: a.Dir, Reason: fetch.ErrNoSpace, Err: fmt.Errorf("%d bytes needed, %d free", need, max(vol.Free-reserve, 0)),
			Hint: "free some space and run again: a download goes on where it stopped"}
	}
	return nil
}

// diskError gives a full disk its reason.
func (a *Archive) diskError(err error) error {
	if isNoSpace(err) {
		return &fetch.Error{Op: "archive", Name: a.Dir, Reason: fetch.ErrNoSpace, Err: err,
			Hint: "free some space and run again: a download goes on where it stopped"}
	}
	return err
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

// openRegular opens a regular file. A pipe would wait for whoever writes to it.
func openRegular(name string) (*os.File, error) {
	fi, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: not a regular file", fetch.ErrMismatch)}
	}
	return durable.Open(name)
}
