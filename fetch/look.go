package fetch

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/pattern"
	"github.com/aspupdate/aspupdate/version"
)

// What bounds what a hostile server can make us list and keep.
const (
	maxFolders = 2000
	maxListed  = 64 << 20 // bytes of all names together
	perEntry   = 100      // bytes that an entry takes besides its name
)

var (
	errTooManyFolders = errors.New("more folders than any release needs")
	errTooMuch        = errors.New("more files than any distribution has")
)

// A look is one run of Find.
type look struct {
	f       Finder
	now     time.Time
	src     Source
	found   Found
	pieces  []piece
	folders int
	listed  int // bytes
}

// A piece is one thing that belongs to a version. What becomes of it can be
// said once all of that version's pieces were seen.
type piece struct {
	version version.Version
	is      pieceKind
	file    File // of a sidecar, Path alone; of what settles, Time is when it will have done so, if that is known
}

type pieceKind uint8

const (
	isInstaller pieceKind = iota
	isSidecar
	isSettling
)

// A trail is a pattern on the way down: what is known, and what must follow.
type trail struct {
	pattern.Match
	rest pattern.Path
}

// folder lists one folder and sorts its entries.
func (l *look) folder(ctx context.Context, dir string, trails []trail) error {
	entries, err := l.list(ctx, dir)
	switch {
	case l.folders > 1 && errors.Is(err, ErrNotFound): // gone since it was listed
		l.skip(dir, SkipSettling, trails[0].Version)
		return nil
	case err != nil:
		return err
	}
	byName := func(a, b Entry) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(entries, byName) { // most servers sort
		slices.SortFunc(entries, byName)
	}
	l.pieces = slices.Grow(l.pieces, len(entries))
	for _, e := range entries {
		if err := l.entry(ctx, dir, e, trails); err != nil {
			return err
		}
	}
	return nil
}

func (l *look) list(ctx context.Context, dir string) ([]Entry, error) {
	tooMuch := func(what error) error {
		return &Error{Op: "find", Name: l.found.Distribution, Hint: "set Layout.Patterns to the forms that the vendor uses", Err: what}
	}
	if l.folders++; l.folders > maxFolders {
		return nil, tooMuch(errTooManyFolders)
	}
	entries, err := l.src.List(ctx, dir)
	for _, e := range entries {
		l.listed += perEntry + len(e.Name)
	}
	if l.listed > maxListed {
		return nil, tooMuch(errTooMuch)
	}
	return entries, err
}

func (l *look) entry(ctx context.Context, dir string, e Entry, trails []trail) error {
	switch {
	case e.Kind == KindUnreadable:
		l.skip(e.Name, SkipUnreadable, version.Version{})
		return nil
	case !names.IsSafe(e.Text()):
		l.skip(dir+"/"+e.Name, SkipUnsafe, version.Version{})
		return nil
	}
	full, name := strings.TrimSuffix(dir, "/")+"/"+e.Name, e.Text()
	stem := strings.ToLower(strings.TrimSuffix(name, SidecarSuffix))
	bare := len(stem) == len(name)
	uploading := isUpload(stem)
	if uploading {
		stem, bare = strings.TrimSuffix(stem, path.Ext(stem)), false
	}
	var deeper []trail
	var here pattern.Match
	isHere := false
	for _, t := range trails {
		m, ok := t.Name(t.rest[0], stem)
		switch {
		case !ok:
		case len(t.rest) > 1 && bare:
			deeper = append(deeper, trail{m, t.rest[1:]})
		case len(t.rest) == 1 && !isHere:
			here, isHere = m, true
		}
	}
	switch {
	case isHere && (len(deeper) == 0 || e.Kind != KindFolder):
		return l.candidate(ctx, full, e, here, uploading)
	case len(deeper) == 0 || e.Kind == KindFile:
		l.skip(full, SkipName, version.Version{})
	case e.Kind != KindFolder:
		l.skip(full, SkipLink, version.Version{})
	default:
		return l.folder(ctx, full, deeper)
	}
	return nil
}

// isCompanion reports whether an extension, in lower case, is one of files that
// lie beside an installer and are none.
func isCompanion(ext string) bool {
	switch ext {
	case ".md5", ".sha1", ".sha512", ".sig", ".asc", ".p7s",
		".txt", ".md", ".pdf", ".doc", ".docx", ".rtf", ".odt", ".htm", ".html", ".log":
		return true
	}
	return false
}

// isUpload reports whether a name is one under which uploads run.
func isUpload(name string) bool {
	switch ext(name) {
	case ".tmp", ".temp":
		return true
	}
	return isUploadPart(name)
}

// isUploadPart reports that of a file in a variant that is a folder, where
// temporary files can be the vendor's own.
func isUploadPart(name string) bool {
	switch ext(name) {
	case ".part", ".partial", ".filepart", ".crdownload", ".upload":
		return true
	}
	return false
}

func ext(name string) string { return strings.ToLower(path.Ext(name)) }

// candidate takes what is named like a variant of a version.
func (l *look) candidate(ctx context.Context, full string, e Entry, m pattern.Match, uploading bool) error {
	switch {
	case e.Kind != KindFile && e.Kind != KindFolder:
		l.skip(full, SkipLink, m.Version)
		return nil
	case isCompanion(m.Ext):
		l.skip(full, SkipName, m.Version)
		return nil
	case m.Version.IsBeta() && !l.f.Betas:
		l.skip(full, SkipBeta, m.Version)
		return nil
	case l.f.Accept != nil && !l.f.Accept(l.found.Distribution, m.Version):
		l.skip(full, SkipRefused, m.Version)
		return nil
	}
	if e.Kind == KindFile && strings.HasSuffix(full, SidecarSuffix) {
		l.pieces = append(l.pieces, piece{version: m.Version, is: isSidecar, file: File{Path: full}})
		return nil
	}
	file := File{Variant: m.Variant, Path: full}
	if e.Kind == KindFolder {
		return l.tree(ctx, file, m.Version, uploading)
	}
	e, until, settled, err := l.settled(ctx, full, e)
	switch {
	case err != nil:
		return err
	case !settled || uploading || e.Size == 0: // no installer is empty
		l.settles(full, m.Version, until)
	case e.Size < 0:
		l.skip(full, SkipNoSize, m.Version)
	default:
		file.Size, file.Time = e.Size, e.Time
		l.pieces = append(l.pieces, piece{version: m.Version, file: file})
	}
	return nil
}

func (l *look) settles(name string, v version.Version, until time.Time) {
	l.pieces = append(l.pieces, piece{version: v, is: isSettling, file: File{Path: name, Time: until}})
}

// tree takes a variant that is a folder.
func (l *look) tree(ctx context.Context, f File, v version.Version, uploading bool) error {
	parts, err := ReadParts(ctx, l.list, f.Path)
	if u, ok := errors.AsType[*unfit](err); ok && u.why != skipEmpty {
		l.skip(u.path, u.why, v)
		return nil
	} else if ok || errors.Is(err, ErrNotFound) { // gone since it was listed
		l.settles(f.Path, v, time.Time{})
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range parts {
		full := path.Join(f.Path, p.Path)
		_, until, settled, err := l.settled(ctx, full, Entry{Size: p.Size, Time: p.Time})
		if err != nil {
			return err
		}
		if !settled || uploading || isUploadPart(p.Path) {
			l.settles(full, v, until)
			return nil
		}
		f.add(p)
	}
	f.Parts = parts
	l.pieces = append(l.pieces, piece{version: v, file: f})
	return nil
}

// zones is the most by which a listing in the server's local time can be
// wrong: what lies further back has settled in any time zone.
const zones = 26 * time.Hour

// settled reports whether a file has stood still long enough. The time of a
// listing may be local to the server and exact to the minute or the day, so
// that what looks recent is asked for once more by Stat, which is exact.
func (l *look) settled(ctx context.Context, full string, e Entry) (now Entry, until time.Time, ok bool, err error) {
	settle := cmp.Or(l.f.Settle, DefaultSettle)
	if settle < 0 {
		return e, time.Time{}, true, nil
	}
	if !e.Time.IsZero() && l.now.Sub(e.Time) > zones+settle {
		return e, time.Time{}, true, nil
	}
	now = e
	if _, can := l.src.(Stater); can {
		now, err = Stat(ctx, l.src, full)
		switch {
		case errors.Is(err, ErrNotFound): // gone since it was listed
			return e, time.Time{}, false, nil
		case err != nil:
			return e, time.Time{}, false, err
		}
	}
	if now.Time.IsZero() || now.Size != e.Size {
		return now, time.Time{}, false, nil
	}
	until = now.Time.Add(settle)
	return now, until, !l.now.Before(until), nil
}

func (l *look) skip(name string, why Why, v version.Version) {
	l.found.Skipped = append(l.found.Skipped, Skipped{Path: name, Why: why, Version: v})
}

// finish makes releases of the pieces, newest first.
func (l *look) finish(ctx context.Context) error {
	byVersion := func(a, b piece) int { return a.version.Compare(b.version) }
	if !slices.IsSortedFunc(l.pieces, byVersion) {
		slices.SortStableFunc(l.pieces, byVersion)
	}
	l.found.Releases = slices.Grow(l.found.Releases, len(l.pieces))
	for rest := l.pieces; len(rest) > 0; {
		n := len(rest) - 1
		for n > 0 && rest[n-1].version == rest[n].version {
			n--
		}
		l.release(rest[n:])
		rest = rest[:n]
	}
	return ctx.Err()
}

// release makes a release of all the pieces of one version, if they are one.
func (l *look) release(pieces []piece) {
	v := pieces[0].version
	var files []File
	var sidecars map[string]string // path of the file -> of the sidecar
	settling := false
	for _, p := range pieces {
		switch p.is {
		case isInstaller:
			files = append(files, p.file)
		case isSidecar:
			if sidecars == nil {
				sidecars = map[string]string{}
			}
			sidecars[strings.TrimSuffix(p.file.Path, SidecarSuffix)] = p.file.Path
		case isSettling:
			// All of a release or nothing: its parts belong together (R3).
			l.found.Skipped = append(l.found.Skipped, Skipped{Path: p.file.Path, Why: SkipSettling, Version: v, Until: p.file.Time})
			settling = true
		}
	}
	if settling {
		return
	}
	var claims [version.FullSetup + 1]int
	for i, f := range files {
		files[i].Sidecar = sidecars[f.Path]
		delete(sidecars, f.Path)
		claims[f.Variant]++
	}
	if len(sidecars) > 0 { // seldom, and sorting nothing takes its time, too
		for _, of := range slices.Sorted(maps.Keys(sidecars)) {
			l.skip(sidecars[of], SkipName, v)
		}
	}
	files = slices.DeleteFunc(files, func(f File) bool {
		if claims[f.Variant] > 1 {
			l.skip(f.Path, SkipAmbiguous, v)
		}
		return claims[f.Variant] > 1
	})
	if len(files) > 0 {
		slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Variant, b.Variant) })
		l.found.Releases = append(l.found.Releases, Release{Distribution: l.found.Distribution, Version: v, Files: files})
	}
}
