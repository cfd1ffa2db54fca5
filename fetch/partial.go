package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A partial is a file on its way into the archive. It lies beside its later
// place, so that publishing is one rename:
//
//	<Dir>/<distribution>/<version>/.partial-<variant>/journal.json
//	                                                 /data/payload
//
// The journal says how much of the payload is safely on disk and what hash
// that much has, so that a download goes on after a power cut without
// believing in bytes that never reached the disk.
type partial struct {
	dir  string
	root *os.Root // of data: whatever a server names stays inside
	f    *os.File
	h    hash.Hash
	size int64 // bytes written and hashed
}

// The name that a payload has until it is vouched for: nothing runs it by
// accident.
const payloadName = "payload"

// checkpoint is how many bytes a power cut may cost.
const checkpoint = 64 << 20

// A journal identifies the file that is being downloaded.
type journal struct {
	Source string    `json:"source"`
	Size   int64     `json:"size"`
	Time   time.Time `json:"time"`
	Synced int64     `json:"synced"` // bytes of the payload that are on disk
	SHA256 string    `json:"sha256"` // of these bytes
}

func checkPayload(name string) error {
	if strings.EqualFold(name, manifestName) {
		return &Error{Op: "check name", Name: name, Reason: ErrUnsafeName, Err: errors.New("the archive keeps its manifest under it")}
	}
	return nil
}

// stage opens the partial file of a key, which may hold the start of an
// earlier download. The caller holds the archive's lock.
func (a Archive) stage(k Key) (*partial, error) {
	dir := filepath.Join(a.Dir, k.Distribution, k.Version.String(), ".partial-"+k.Variant.String())
	p := &partial{dir: dir, h: sha256.New()}
	if err := durable.MkdirAll(p.dataDir(), 0o700); err != nil {
		return nil, err
	}
	var err error
	if p.root, err = os.OpenRoot(p.dataDir()); err != nil {
		return nil, err
	}
	if err = p.sweep(); err == nil {
		p.f, err = p.root.OpenFile(payloadName, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// sweep removes what a crash left between sealing and publishing: it would
// be published beside the next payload.
func (p *partial) sweep() error {
	entries, err := os.ReadDir(p.dataDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == payloadName {
			continue
		}
		if err := p.root.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (p *partial) dataDir() string { return filepath.Join(p.dir, "data") }
func (p *partial) path() string    { return filepath.Join(p.dataDir(), payloadName) }
func (p *partial) sum() string     { return hex.EncodeToString(p.h.Sum(nil)) }

// resume takes up what an earlier download of the very same file left, and
// starts afresh otherwise.
func (p *partial) resume(ctx context.Context, want journal) error {
	j, err := p.readJournal()
	if err != nil || j.Source != want.Source || j.Size != want.Size || !j.Time.Equal(want.Time) || want.Time.IsZero() {
		return p.restart()
	}
	if fi, err := p.f.Stat(); err != nil || j.Synced < 0 || j.Synced > fi.Size() || j.Synced > want.Size {
		return p.restart()
	}
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(p.h, withContext(ctx, io.LimitReader(p.f, j.Synced)))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil || n != j.Synced || p.sum() != j.SHA256 {
		return p.restart()
	}
	p.size = n
	if err := p.f.Truncate(n); err != nil {
		return err
	}
	_, err = p.f.Seek(n, io.SeekStart)
	return err
}

func (p *partial) readJournal() (journal, error) {
	var j journal
	b, err := os.ReadFile(filepath.Join(p.dir, "journal.json"))
	if err != nil {
		return j, err
	}
	return j, json.Unmarshal(b, &j)
}

// save makes what was written so far survive a power cut.
func (p *partial) save(j journal) error {
	if err := p.f.Sync(); err != nil {
		return err
	}
	j.Synced, j.SHA256 = p.size, p.sum()
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(p.dir, "journal.json"), append(b, '\n'), 0o600)
}

// restart begins the file again from nothing.
func (p *partial) restart() error {
	p.h.Reset()
	p.size = 0
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.f.Truncate(0)
}

func (p *partial) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.h.Write(b[:n])
	p.size += int64(n)
	return n, err
}

func (p *partial) copyFrom(r io.Reader) error {
	if err := p.restart(); err != nil {
		return err
	}
	_, err := io.Copy(p, r)
	return err
}

// seal gives the payload its name, puts the manifest beside it and syncs all.
func (p *partial) seal(m manifest) error {
	if err := checkPayload(m.File); err != nil {
		return err
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	// From here on the file may run: it was vouched for.
	if runtime.GOOS != "windows" {
		if err := p.f.Chmod(0o500); err != nil {
			return err
		}
	}
	if err := cmp.Or(p.f.Sync(), p.f.Close()); err != nil {
		return err
	}
	p.f = nil
	if err := p.root.Rename(payloadName, m.File); err != nil {
		return err
	}
	if err := p.root.Close(); err != nil { // Windows renames no folder that is open
		return err
	}
	p.root = nil
	if err := durable.WriteFile(filepath.Join(p.dataDir(), manifestName), b, 0o600); err != nil {
		return err
	}
	return durable.SyncTree(p.dataDir())
}

// close keeps what was downloaded for another time.
func (p *partial) close() {
	if p.f != nil {
		_ = p.f.Close()
	}
	if p.root != nil {
		_ = p.root.Close()
	}
	p.f, p.root = nil, nil
}

// discard removes it.
func (p *partial) discard() error {
	p.close()
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("remove a partial download: %w", err)
	}
	return nil
}
