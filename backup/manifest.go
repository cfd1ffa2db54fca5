package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/tree"
)

// A Snapshot is a sealed backup in a store, as its manifest describes it.
type Snapshot struct {
	ID      string    `json:"id"`      // unique, sorts by age, also the name of its directory
	Name    string    `json:"name"`    // as given to Take
	Started time.Time `json:"started"` // UTC
	Sealed  time.Time `json:"sealed"`  // UTC
	Meta    Meta      `json:"meta"`
	Files   []file    `json:"files"` // sorted by path

	// Proven is when [Store.Prove] last succeeded, in UTC, and ProofTook how long
	// that took; zero if it never did. They are not part of what is sealed.
	Proven    time.Time     `json:"-"`
	ProofTook time.Duration `json:"-"`

	sum string // SHA-256 of the manifest
}

// Ref returns a reference to exactly this snapshot: its ID and the SHA-256 of its
// manifest, which has that of every byte. An account that may write to the store
// can put another snapshot with another manifest and seal in its place; a method
// of [Store] that is given the reference instead of the ID finds that out. Keep it
// where such an account cannot write, as the journal of an update does.
func (s Snapshot) Ref() string { return s.ID + refMark + s.sum }

const refMark = "@"

// ID returns the ID of the snapshot that a reference is to. A bare ID, as
// earlier versions kept it, is its own.
func ID(ref string) string {
	id, _, _ := strings.Cut(ref, refMark)
	return id
}

// parseRef returns the ID and the hash of a reference. A bare ID has no hash.
func parseRef(ref string) (id, sum string, err error) {
	id, sum, hashed := strings.Cut(ref, refMark)
	if !idForm.MatchString(id) || hashed && !sumForm.MatchString(sum) {
		return "", "", ErrNotFound
	}
	return id, sum, nil
}

// Bytes returns the size of all files.
func (s Snapshot) Bytes() int64 {
	var n int64
	for _, f := range s.Files {
		n += f.Bytes
	}
	return n
}

// A file is one file of a snapshot.
type file struct {
	Path   string `json:"path"` // in the snapshot's data directory, slash-separated
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // lower-case hex
}

// A snapshot's directory holds these three, later a proof, and nothing else. The
// seal has the form that sha256sum -c reads, so that an operator can check it.
const (
	dataDir      = "data"
	manifestFile = "manifest.json"
	sealFile     = "manifest.sha256"

	format      = 1        // of the manifest
	maxManifest = 64 << 20 // bytes
)

type manifest struct {
	Format int `json:"format"`
	Snapshot
}

var sumForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// encode returns the manifest and its seal.
func encode(s Snapshot) (body, seal []byte, err error) {
	body, err = json.MarshalIndent(manifest{format, s}, "", "  ")
	if err != nil {
		return nil, nil, err
	}
	body = append(body, '\n')
	return body, sealOf(body), nil
}

func sealOf(body []byte) []byte { return []byte(hexSum(body) + "  " + manifestFile + "\n") }

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readManifest reads and checks the manifest of the snapshot in root, to which ref
// is a reference.
func readManifest(root *os.Root, ref string) (Snapshot, error) {
	id, sum, err := parseRef(ref)
	if err != nil {
		return Snapshot{}, err
	}
	body, err := readSmall(root, manifestFile)
	if err != nil {
		return Snapshot{}, err
	}
	seal, err := readSmall(root, sealFile)
	if err != nil {
		return Snapshot{}, err
	}
	if !bytes.Equal(seal, sealOf(body)) {
		return Snapshot{}, damaged(manifestFile, "SHA-256 is not the one in %s", sealFile)
	}
	if got := hexSum(body); sum != "" && got != sum {
		return Snapshot{}, advise(damaged(manifestFile, "it is of another snapshot, with SHA-256 %s instead of %s", got, sum),
			"find out who replaced it, and who can write to the store")
	}
	snap, err := decode(body, id)
	if err == nil {
		snap.sum = hexSum(body)
		snap.Proven, snap.ProofTook = proofIn(root, snap.sum)
	}
	return snap, err
}

// decode reads a manifest whose bytes are what was sealed. A newer program can
// have written it, or a forger: paths are checked all the same.
func decode(body []byte, id string) (Snapshot, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return Snapshot{}, damaged(manifestFile, "%v", err)
	}
	if head.Format > format {
		return Snapshot{}, advise(fmt.Errorf("%s: %w: format %d, and this program reads format %d",
			manifestFile, ErrIncompatible, head.Format, format), "use a newer program")
	}
	var m manifest
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return Snapshot{}, damaged(manifestFile, "%v", err)
	}
	if m.Format != format || m.ID != id {
		return Snapshot{}, damaged(manifestFile, "of another snapshot, %q, or format, %d", m.ID, m.Format)
	}
	for i, f := range m.Files {
		switch {
		case !localPath(f.Path):
			return Snapshot{}, damaged(manifestFile, "invalid path %q", f.Path)
		case i > 0 && m.Files[i-1].Path >= f.Path:
			return Snapshot{}, damaged(manifestFile, "path %q is out of order", f.Path)
		case f.Bytes < 0 || !sumForm.MatchString(f.SHA256):
			return Snapshot{}, damaged(manifestFile, "invalid size or sum of %q", f.Path)
		}
	}
	return m.Snapshot, nil
}

func localPath(p string) bool {
	return fs.ValidPath(p) && p != "." && !strings.Contains(p, `\`) && filepath.IsLocal(filepath.FromSlash(p))
}

func damaged(file, form string, args ...any) error {
	return fmt.Errorf("%s: %w: %w", file, ErrDamaged, fmt.Errorf(form, args...))
}

func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := tree.OpenFile(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(name, "missing")
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	dropCache(f)
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxManifest {
		return nil, damaged(name, "larger than any manifest")
	}
	return data, nil
}

// inventory lists the regular files below the data directory, sorted. Anything
// else but directories is an error.
func inventory(root *os.Root) ([]file, error) {
	var files []file
	err := fs.WalkDir(root.FS(), dataDir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a directory", p)
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		files = append(files, file{Path: strings.TrimPrefix(p, dataDir+"/"), Bytes: fi.Size()})
		return nil
	})
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}
