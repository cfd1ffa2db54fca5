package archive

import (
	"bytes"
	"cmp"
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

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/digest"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

const (
	manifestName   = "manifest.json"
	manifestFormat = 1
	maxManifest    = 32 << 20 // bytes, for a directory of many files
)

// A manifest is the last file that is written beside an installer.
type manifest struct {
	Format       int             `json:"format"`
	Distribution string          `json:"distribution"`
	Version      version.Version `json:"version"`
	Variant      version.Variant `json:"variant"`
	File         string          `json:"file"`
	Size         int64           `json:"size"`
	SHA256       string          `json:"sha256"`
	Parts        []fetch.Part    `json:"parts,omitempty"` // of a directory
	Source       string          `json:"source"`
	Modified     time.Time       `json:"modified,omitzero"`
	Archived     time.Time       `json:"archived"`
	Vouched      Vouched         `json:"vouched"`
}

func manifestOf(it Item) manifest {
	return manifest{
		Format: manifestFormat, Distribution: it.Distribution, Version: it.Version, Variant: it.Variant,
		File: filepath.Base(it.Path), Size: it.Size, SHA256: it.SHA256, Parts: it.Parts, Source: it.Source,
		Modified: it.Modified, Archived: it.Archived, Vouched: it.Vouched,
	}
}

func (m manifest) encode() ([]byte, error) {
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	err := to.Encode(m)
	return b.Bytes(), err
}

// A damage is something wrong in an item's directory, as opposed to a reason for
// which it could not be read just now.
type damage struct{ error }

func (d damage) Unwrap() error { return d.error }

// isDamage reports whether err is nothing but damages, or nil.
func isDamage(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case nil, damage:
		return true
	case *fetch.Error:
		return e.Err != nil && isDamage(e.Err)
	case interface{ Unwrap() []error }:
		all := e.Unwrap()
		return len(all) > 0 && !slices.ContainsFunc(all, func(err error) bool { return !isDamage(err) })
	}
	return false
}

// readManifest reads the item in dir, and fails if the manifest does not match its
// place or the files beside it.
func readManifest(dir string) (Item, error) {
	if fi, err := os.Lstat(dir); err != nil {
		return Item{}, err
	} else if !fi.IsDir() {
		return Item{}, damage{errors.New("not a directory")}
	}
	f, err := openRegular(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrMismatch) {
		return Item{}, damage{err}
	}
	if err != nil {
		return Item{}, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return Item{}, err
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Item{}, damage{fmt.Errorf("%s is damaged: %w", manifestName, err)}
	}
	if m.Format > manifestFormat {
		return Item{}, fmt.Errorf("%s: format %d is newer than this program: update the program", manifestName, m.Format)
	}
	if err := m.check(dir); err != nil {
		return Item{}, damage{fmt.Errorf("%s: %w", manifestName, err)}
	}
	it := m.item(dir)
	if it.Parts == nil {
		return it, isFile(it.Path, it.Size)
	}
	if fi, err := os.Lstat(it.Path); err != nil || !fi.IsDir() {
		return Item{}, damage{cmp.Or(err, fmt.Errorf("%s is not the directory that was archived", names.Show(m.File)))}
	}
	for _, p := range it.Parts {
		if err := isFile(filepath.Join(it.Path, filepath.FromSlash(p.Path)), p.Size); err != nil {
			return Item{}, err
		}
	}
	return it, nil
}

// isFile returns what is wrong with an archived file, as far as that is visible
// without reading it.
func isFile(name string, size int64) error {
	fi, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damage{err}
	case err == nil && (!fi.Mode().IsRegular() || fi.Size() != size):
		return damage{fmt.Errorf("%s is not the file of %d bytes that was archived", names.Show(filepath.Base(name)), size)}
	}
	return err
}

func (m manifest) check(dir string) error {
	if m.Format < 1 || m.Archived.IsZero() {
		return errors.New("no format or no time")
	}
	k := Key{m.Distribution, m.Version, m.Variant, m.SHA256}
	if !digest.Valid(m.SHA256) {
		return errors.New("no SHA-256")
	}
	if err := errors.Join(k.check(), names.Check(m.File), checkPayload(m.File), checkParts(m.Parts)); err != nil {
		return err
	}
	if size, _ := measure(m.Parts); m.Parts != nil && (size != m.Size || hashParts(m.Parts) != m.SHA256) {
		return errors.New("the files do not add up to the size and the hash of the directory")
	}
	if !strings.HasSuffix(filepath.Clean(dir), string(filepath.Separator)+itemDir(k)) {
		return fmt.Errorf("the manifest is for %s, and the directory for something else", k)
	}
	return nil
}

func (m manifest) item(dir string) Item {
	return Item{
		Key:  Key{m.Distribution, m.Version, m.Variant, m.SHA256},
		Path: filepath.Join(dir, m.File), Size: m.Size, Parts: m.Parts,
		Source: m.Source, Modified: m.Modified, Archived: m.Archived, Vouched: m.Vouched,
	}
}
