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

// Limits of what a hostile server can make us list and keep.
const (
	maxDirs   = 2000
	maxListed = 64 << 20 // bytes of all names together
	perEntry  = 100      // bytes of an entry besides its name
)

var (
	errTooManyDirs  = errors.New("more directories than any release needs")
	errTooManyFiles = errors.New("more files than any distribution has")
)

// A search is one call of Find.
type search struct {
	f      Finder
	now    time.Time
	src    Source
	found  Found
	pieces []piece
	dirs   int // listed so far
	listed int // bytes
}

// A piece is one thing that belongs to a version. What becomes of it is decided
// once all pieces of that version are known.
type piece struct {
	version version.Version
	is      pieceKind
	file    File // of a sidecar, Path alone; of what is settling, Time is when it will have settled, if that is known
}

type pieceKind uint8

const (
	isInstaller pieceKind = iota
	isSidecar
	isSettling
	isNothing
)

// A trail is a pattern on the way down: what matched so far, and what must
// follow.
type trail struct {
	pattern.Match
	rest pattern.Path
}

// directory lists one directory and sorts its entries.
func (s *search) directory(ctx context.Context, dir string, trails []trail) error {
	entries, err := s.list(ctx, dir)
	switch {
	case s.dirs > 1 && errors.Is(err, ErrNotFound): // removed after it was listed
		s.skip(dir, skipSettling, trails[0].Version)
		return nil
	case err != nil:
		return err
	}
	byName := func(a, b Entry) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(entries, byName) { // most servers sort
		slices.SortFunc(entries, byName)
	}
	s.pieces = slices.Grow(s.pieces, len(entries))
	for _, e := range entries {
		if err := s.entry(ctx, dir, e, trails); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) list(ctx context.Context, dir string) ([]Entry, error) {
	tooMuch := func(what error) error {
		return &Error{Op: "find", Subject: s.found.Distribution, Next: "set Layout.Patterns to the forms that the vendor uses", Err: what}
	}
	if s.dirs++; s.dirs > maxDirs {
		return nil, tooMuch(errTooManyDirs)
	}
	entries, err := s.src.List(ctx, dir)
	for _, e := range entries {
		s.listed += perEntry + len(e.Name)
	}
	if s.listed > maxListed {
		return nil, tooMuch(errTooManyFiles)
	}
	return entries, err
}

func (s *search) entry(ctx context.Context, dir string, e Entry, trails []trail) error {
	switch {
	case e.Kind == KindUnreadable:
		s.skip(e.Name, SkipUnreadable, version.Version{})
		return nil
	case !names.IsSafe(e.text()):
		s.skip(dir+"/"+e.Name, skipUnsafe, version.Version{})
		return nil
	}
	full, name := strings.TrimSuffix(dir, "/")+"/"+e.Name, e.text()
	stem := strings.ToLower(strings.TrimSuffix(name, sidecarSuffix))
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
	case isHere && (len(deeper) == 0 || e.Kind != KindDir):
		return s.candidate(ctx, full, e, here, uploading)
	case len(deeper) == 0 || e.Kind == KindFile:
		s.skip(full, SkipName, version.Version{})
	case e.Kind != KindDir:
		s.skip(full, skipLink, version.Version{})
	default:
		return s.directory(ctx, full, deeper)
	}
	return nil
}

// isCompanion reports whether an extension, in lower case, is one of files that
// accompany an installer.
func isCompanion(ext string) bool {
	switch ext {
	case ".md5", ".sha1", ".sha512", ".sig", ".asc", ".p7s",
		".txt", ".md", ".pdf", ".doc", ".docx", ".rtf", ".odt", ".htm", ".html", ".log":
		return true
	}
	return false
}

// isUpload reports whether a name is one of an unfinished upload.
func isUpload(name string) bool {
	switch ext(name) {
	case ".tmp", ".temp":
		return true
	}
	return isUploadPart(name)
}

// isUploadPart is isUpload for a file in a variant that is a directory, where
// temporary files can be the vendor's own.
func isUploadPart(name string) bool {
	switch ext(name) {
	case ".part", ".partial", ".filepart", ".crdownload", ".upload":
		return true
	}
	return false
}

func ext(name string) string { return strings.ToLower(path.Ext(name)) }

// candidate adds what is named like a variant of a version.
func (s *search) candidate(ctx context.Context, full string, e Entry, m pattern.Match, uploading bool) error {
	switch {
	case e.Kind != KindFile && e.Kind != KindDir:
		s.skip(full, skipLink, m.Version)
		return nil
	case isCompanion(m.Ext):
		s.skip(full, SkipName, m.Version)
		return nil
	case m.Version.IsBeta() && !s.f.Betas:
		s.skip(full, skipBeta, m.Version)
		return nil
	case s.f.Accept != nil && !s.f.Accept(s.found.Distribution, m.Version):
		s.skip(full, skipRefused, m.Version)
		return nil
	}
	if e.Kind == KindFile && strings.HasSuffix(full, sidecarSuffix) {
		s.pieces = append(s.pieces, piece{version: m.Version, is: isSidecar, file: File{Path: full}})
		return nil
	}
	file := File{Variant: m.Variant, Path: full}
	if e.Kind == KindDir {
		return s.parts(ctx, file, m.Version, uploading)
	}
	e, until, settled, err := s.settled(ctx, full, e)
	switch {
	case err != nil:
		return err
	case e.Size < 0 && !s.remembers():
		s.skip(full, skipNoSize, m.Version)
	case !settled || uploading || e.Size == 0: // no installer is empty
		s.addSettling(full, m.Version, until)
	default:
		file.Size, file.Time = e.Size, e.Time
		s.pieces = append(s.pieces, piece{version: m.Version, file: file})
	}
	return nil
}

func (s *search) addSettling(name string, v version.Version, until time.Time) {
	s.pieces = append(s.pieces, piece{version: v, is: isSettling, file: File{Path: name, Time: until}})
}

// parts adds a variant that is a directory.
func (s *search) parts(ctx context.Context, f File, v version.Version, uploading bool) error {
	parts, err := ReadParts(ctx, s.list, f.Path)
	if u, ok := errors.AsType[*unfetchable](err); ok && u.reason != skipEmpty {
		s.skip(u.path, u.reason, v)
		return nil
	} else if ok || errors.Is(err, ErrNotFound) { // removed after it was listed
		s.addSettling(f.Path, v, time.Time{})
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range parts {
		full := path.Join(f.Path, p.Path)
		_, until, settled, err := s.settled(ctx, full, Entry{Size: p.Size, Time: p.Time})
		if err != nil {
			return err
		}
		if !settled || uploading || isUploadPart(p.Path) {
			s.addSettling(full, v, until)
			return nil
		}
		f.add(p)
	}
	f.Parts = parts
	s.pieces = append(s.pieces, piece{version: v, file: f})
	return nil
}

// zones is the most by which a listing in the server's local time can be
// wrong: what is older has settled in any time zone.
const zones = 26 * time.Hour

// settled reports whether a file has been unchanged for long enough. The time of
// a listing may be local to the server and exact to the minute or the day, so
// that for what seems recent Stat is called, which is exact.
func (s *search) settled(ctx context.Context, full string, e Entry) (now Entry, until time.Time, ok bool, err error) {
	settle := s.settle()
	if settle < 0 || s.remembers() {
		return e, time.Time{}, true, nil
	}
	if !e.Time.IsZero() && s.now.Sub(e.Time) > zones+settle {
		return e, time.Time{}, true, nil
	}
	now, err = stat(ctx, s.src, full, func() (Entry, error) { return e, nil })
	switch {
	case errors.Is(err, ErrNotFound): // removed after it was listed
		return e, time.Time{}, false, nil
	case err != nil:
		return e, time.Time{}, false, err
	}
	if now.Time.IsZero() || e.Size >= 0 && now.Size != e.Size {
		return now, time.Time{}, false, nil
	}
	until = now.Time.Add(settle)
	return now, until, !s.now.Before(until), nil
}

func (s *search) skip(name string, reason SkipReason, v version.Version) {
	s.found.Skipped = append(s.found.Skipped, Skipped{Path: name, Reason: reason, Version: v})
}

// finish makes releases of the pieces, newest first. dir is the distribution's.
func (s *search) finish(ctx context.Context, dir string) error {
	byVersion := func(a, b piece) int { return a.version.Compare(b.version) }
	if !slices.IsSortedFunc(s.pieces, byVersion) {
		slices.SortStableFunc(s.pieces, byVersion)
	}
	if s.remembers() {
		if err := s.sight(ctx, dir); err != nil {
			return err
		}
	}
	s.found.Releases = slices.Grow(s.found.Releases, len(s.pieces))
	for rest := s.pieces; len(rest) > 0; {
		n := len(rest) - 1
		for n > 0 && rest[n-1].version == rest[n].version {
			n--
		}
		s.release(rest[n:])
		rest = rest[:n]
	}
	return ctx.Err()
}

// release adds the release that the pieces of one version form, if they form one.
func (s *search) release(pieces []piece) {
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
			sidecars[strings.TrimSuffix(p.file.Path, sidecarSuffix)] = p.file.Path
		case isSettling:
			// All of a release or nothing: its variants belong together (R3).
			s.found.Skipped = append(s.found.Skipped, Skipped{Path: p.file.Path, Reason: skipSettling, Version: v, Until: p.file.Time})
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
	if len(sidecars) > 0 { // rare, and sorting nothing costs time too
		for _, of := range slices.Sorted(maps.Keys(sidecars)) {
			s.skip(sidecars[of], SkipName, v)
		}
	}
	files = slices.DeleteFunc(files, func(f File) bool {
		if claims[f.Variant] > 1 {
			s.skip(f.Path, skipAmbiguous, v)
		}
		return claims[f.Variant] > 1
	})
	if len(files) > 0 {
		slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Variant, b.Variant) })
		s.found.Releases = append(s.found.Releases, Release{Distribution: s.found.Distribution, Version: v, Files: files})
	}
}
