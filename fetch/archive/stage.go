package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// A stage is a variant on its way into the archive. It is beside its final place,
// so that publishing is one rename:
//
//	<Dir>/<distribution>/<version>/.partial-<variant>/journal.json
//	                                                 /data/payload
//
// The payload is a file, or a directory of files. The journal has how much of
// each file is safely on disk and the hash of that, so that a download can be
// resumed after a power cut without trusting bytes that never reached the disk.
type stage struct {
	dir  string
	root *os.Root // of data: no name from a server leaves it
	j    journal
}

const partialPrefix = ".partial-"

// The name that a payload has until it is verified: nothing runs it by accident.
const payloadName = "payload"

// A journal identifies what is being downloaded.
type journal struct {
	Source string              `json:"source"`
	Files  map[string]progress `json:"files"` // by path below the payload; "" for the payload itself
}

// progress is how far the download of one file is.
type progress struct {
	Size   int64     `json:"size"` // on the server
	Time   time.Time `json:"time"` // on the server
	Synced int64     `json:"synced"`
	SHA256 string    `json:"sha256"` // of the synced bytes
	// Confirmed: the server confirmed the end, or a verifier vouched for it.
	Confirmed bool `json:"confirmed,omitempty"`
}

func checkPayload(name string) error {
	if strings.EqualFold(name, manifestName) {
		return &fetch.Error{Op: "check name", Subject: name, Err: fmt.Errorf("%w: reserved for the archive's manifest", fetch.ErrUnsafeName)}
	}
	return nil
}

// stage opens the stage of a key for parts from a source. It may have the start
// of an earlier download; what does not belong to this one is removed. The
// caller holds the archive's lock.
func (a *Archive) stage(k Key, source string, parts []fetch.Part) (*stage, error) {
	s := &stage{dir: filepath.Join(a.Dir, k.Distribution, k.Version.String(), partialPrefix+k.Variant.String())}
	if _, err := a.has(k); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(s.dataDir(), 0o700); err != nil {
		return nil, err
	}
	if _, err := a.has(k); err != nil { // Windows has short names for long ones as well
		return nil, err
	}
	var err error
	if s.root, err = os.OpenRoot(s.dataDir()); err != nil {
		return nil, err
	}
	b, err := durable.ReadFile(filepath.Join(s.dir, "journal.json"))
	if err != nil || json.Unmarshal(b, &s.j) != nil || s.j.Source != source || s.j.Files == nil {
		s.j = journal{Source: source, Files: map[string]progress{}}
	}
	s.unseal()
	if err := s.sweep(parts); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// unseal undoes seal after a crash between sealing and publishing: all of the
// payload is there, and need not be downloaded again.
func (s *stage) unseal() {
	b, err := s.root.ReadFile(manifestName)
	var m manifest
	if err != nil || json.Unmarshal(b, &m) != nil || names.Check(m.File) != nil || m.File == manifestName {
		return // nothing to undo
	}
	if _, err := s.root.Lstat(payloadName); err == nil {
		return
	}
	if err := s.root.Rename(m.File, payloadName); err != nil {
		return // sweep removes it
	}
	if m.Source == s.j.Source {
		files := m.Parts
		if files == nil {
			files = []fetch.Part{{Size: m.Size, Time: m.Modified, SHA256: m.SHA256}}
		}
		for _, p := range files {
			s.j.Files[p.Path] = progress{Size: p.Size, Time: p.Time, Synced: p.Size, SHA256: p.SHA256, Confirmed: true}
		}
	}
}

// sweep removes all that is not a part: what a crash left between sealing and
// publishing, and what is left of the same variant as a file or as a directory.
// It would be published with the rest.
func (s *stage) sweep(parts []fetch.Part) error {
	wanted, files := map[string]bool{}, map[string]bool{} // wanted: and the directories on the way
	if parts == nil {
		parts = []fetch.Part{{}}
	}
	for _, p := range parts {
		place := inPayload(p.Path)
		files[place] = true
		for ; place != "."; place = path.Dir(place) {
			wanted[place] = true
		}
	}
	return filepath.WalkDir(s.dataDir(), func(full string, d fs.DirEntry, err error) error {
		if err != nil || full == s.dataDir() {
			return err
		}
		name, err := filepath.Rel(s.dataDir(), full)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if wanted[name] && (files[name] && d.Type().IsRegular() || !files[name] && d.IsDir()) {
			return nil
		}
		if err := s.root.RemoveAll(name); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// inPayload returns the place of a part in the stage's data.
func inPayload(rel string) string { return path.Join(payloadName, rel) }

func (s *stage) dataDir() string { return filepath.Join(s.dir, "data") }
func (s *stage) path() string    { return filepath.Join(s.dataDir(), payloadName) }

// allocated returns how much of a part's size its partial file occupies already. A
// partial file that is not resumed is truncated, which frees as much.
func (s *stage) allocated(rel string, size int64) int64 {
	fi, err := s.root.Lstat(inPayload(rel))
	if err != nil {
		return 0
	}
	return min(fi.Size(), size)
}

// save makes the journal survive a power cut. The files in it are synced.
func (s *stage) save() error {
	b, err := json.Marshal(s.j)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.dir, "journal.json"), append(b, '\n'), 0o600)
}

// seal renames the payload to its name, writes the manifest and syncs all.
func (s *stage) seal(m manifest) error {
	if err := checkPayload(m.File); err != nil {
		return err
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	// From here on the files may run: they are verified.
	if runtime.GOOS != "windows" {
		files := m.Parts
		if files == nil {
			files = []fetch.Part{{}}
		}
		for _, p := range files {
			if err := s.root.Chmod(inPayload(p.Path), 0o500); err != nil {
				return err
			}
		}
	}
	// In this order unseal can undo it.
	if err := durable.WriteFile(filepath.Join(s.dataDir(), manifestName), b, 0o600); err != nil {
		return err
	}
	if err := s.root.Rename(payloadName, m.File); err != nil {
		return err
	}
	if err := s.root.Close(); err != nil { // Windows renames no open directory
		return err
	}
	s.root = nil
	return durable.SyncTree(s.dataDir())
}

// close keeps what was downloaded, for a later call.
func (s *stage) close() {
	if s.root != nil {
		_ = s.root.Close()
	}
	s.root = nil
}

// discard removes the stage.
func (s *stage) discard() error {
	s.close()
	if err := durable.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove a partial download: %w", err)
	}
	return nil
}

// A partial is one file of a stage, open for writing.
type partial struct {
	s    *stage
	rel  string
	f    *os.File
	h    hash.Cloner
	size int64 // bytes written and hashed

	confirmed bool // see progress
}

// open opens one file of the payload.
func (s *stage) open(rel string) (*partial, error) {
	place := inPayload(rel)
	if err := s.root.MkdirAll(path.Dir(place), 0o700); err != nil {
		return nil, err
	}
	// Sealing may have made it executable, and been interrupted.
	if err := s.root.Chmod(place, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := s.root.OpenFile(place, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &partial{s: s, rel: rel, f: f, h: sha256.New().(hash.Cloner)}, nil
}

func (p *partial) sum() string { return hex.EncodeToString(p.h.Sum(nil)) }

// resume keeps what an earlier download of the very same file left, and restarts
// otherwise.
func (p *partial) resume(ctx context.Context, size int64, mod time.Time) error {
	j, ok := p.s.j.Files[p.rel]
	if !ok || j.Size != size || !j.Time.Equal(mod) || mod.IsZero() {
		return p.restart()
	}
	if fi, err := p.f.Stat(); err != nil || j.Synced < 0 || j.Synced > fi.Size() || j.Synced > size {
		return p.restart()
	}
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(p.h, ctxio.Reader(ctx, io.LimitReader(p.f, j.Synced)))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil || n != j.Synced || p.sum() != j.SHA256 {
		return p.restart()
	}
	p.size, p.confirmed = n, n == size && j.Confirmed
	if err := p.f.Truncate(n); err != nil {
		return err
	}
	_, err = p.f.Seek(n, io.SeekStart)
	return err
}

// record syncs what was written so far and adds it to the journal, which the
// caller saves.
func (p *partial) record(size int64, mod time.Time) error {
	if err := p.f.Sync(); err != nil {
		return err
	}
	p.s.j.Files[p.rel] = progress{Size: size, Time: mod, Synced: p.size, SHA256: p.sum(), Confirmed: p.confirmed}
	return nil
}

// restart empties the file.
func (p *partial) restart() error {
	delete(p.s.j.Files, p.rel)
	p.h.Reset()
	p.size, p.confirmed = 0, false
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.f.Truncate(0)
}

// Write hashes and writes at the same time: both take about as long.
func (p *partial) Write(b []byte) (n int, err error) {
	before, err := p.h.Clone()
	if err != nil {
		return 0, err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		n, err = p.f.Write(b)
	}()
	p.h.Write(b)
	<-written
	if n < len(b) {
		p.h = before
		p.h.Write(b[:n])
	}
	p.size += int64(n)
	return n, err
}

// copyFrom replaces the contents of the file with what r returns.
func (p *partial) copyFrom(r io.Reader) error {
	if err := p.restart(); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(p, r, make([]byte, 1<<20)); err != nil {
		return err
	}
	return p.f.Sync()
}

func (p *partial) close() error { return p.f.Close() }
