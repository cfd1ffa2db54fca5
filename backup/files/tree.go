package files

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// contents are what scan found. The digest covers the names, kinds, permissions,
// links, sizes and bytes of everything, in the order of a walk, and access
// control lists, capabilities, extended attributes and hard links: two
// directories with the same digest are the same to an application. The stamp covers what is
// known without reading a byte, owners and times included: it is equal if nothing was touched,
// and only of the same files.
type contents struct {
	items  int
	bytes  int64
	digest string
	stamp  string
}

// A scan reads a whole directory, and the same way again what was restored.
type scan struct {
	tw    *tar.Writer  // receives it, if not nil
	plain bool         // without attributes and hard links, as in backups of earlier versions
	made  *fs.FileMode // of what a restore has made, which is synced: the mode that the directory itself gets last

	sum   hash.Hash
	stamp hash.Hash
	links tree.Links
	found contents
}

// Keys of records in the tar file.
const (
	attrRecord   = "SCHILY.xattr." // followed by the attribute's name, as GNU tar and star have it
	sparseRecord = "ASPUPDATE.sparse"
)

// read scans the directory name of root.
func (s scan) read(ctx context.Context, root *tree.Root, name string) (contents, error) {
	s.sum, s.stamp, s.links = sha256.New(), sha256.New(), tree.Links{}
	err := tree.Walk(ctx, root, name, func(n *tree.Node) error { return s.item(ctx, n) })
	if errors.Is(err, tree.ErrChanged) {
		err = &backup.Error{Err: err, Next: "stop the application first"}
	}
	s.found.digest, s.found.stamp = hex.EncodeToString(s.sum.Sum(nil)), hex.EncodeToString(s.stamp.Sum(nil))
	return s.found, err
}

// stamped reports whether the directory name of root has that stamp.
func stamped(ctx context.Context, root *tree.Root, name, stamp string) (bool, error) {
	sum := sha256.New()
	err := tree.Walk(ctx, root, name, func(n *tree.Node) error {
		if n.Mode&fs.ModeSocket == 0 {
			touch(sum, n)
		}
		return nil
	})
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == stamp, err
}

// touch adds a name to a stamp.
func touch(sum hash.Hash, n *tree.Node) {
	size := n.Size
	if !n.Mode.IsRegular() {
		size = 0 // of a directory the file system decides
	}
	_, _ = fmt.Fprintf(sum, "%q %q %v %d %d %d %d %d\n", n.Path, n.Link, n.Mode, size, n.UID, n.GID, n.ModTime.UnixNano(), n.Touched().UnixNano())
}

func (s *scan) item(ctx context.Context, n *tree.Node) error {
	if err := kept(n); err != nil || n.Mode&fs.ModeSocket != 0 {
		return err
	}
	s.found.items++
	touch(s.stamp, n)
	h := &tar.Header{
		// PAX keeps any name, size and time. User names are left out: on one
		// machine only the number matters.
		Name: n.Path, Format: tar.FormatPAX, ModTime: n.ModTime, Uid: n.UID, Gid: n.GID,
		Mode: tarMode(n.Mode),
	}
	first := ""
	if !s.plain {
		first = s.links.First(n)
	}
	switch {
	case first != "":
		h.Typeflag, h.Linkname = tar.TypeLink, first
		_, _ = fmt.Fprintf(s.sum, "same %q %q\n", n.Path, first)
	case n.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.Link
		_, _ = fmt.Fprintf(s.sum, "link %q %q\n", n.Path, n.Link)
	case n.Mode.IsDir():
		mode := n.Mode
		if n.Path == "." && s.made != nil {
			mode = *s.made
		}
		h.Typeflag = tar.TypeDir
		_, _ = fmt.Fprintf(s.sum, "folder %q %v\n", n.Path, mode) // the word stays, as digests are kept on disk
	default:
		h.Typeflag, h.Size = tar.TypeReg, n.Size
		_, _ = fmt.Fprintf(s.sum, "file %q %v %d\n", n.Path, n.Mode, n.Size)
	}
	var attrs map[string]string
	if first == "" {
		var err error
		if attrs, err = s.attrs(n, h); err != nil {
			return err
		}
	}
	if s.tw != nil {
		if err := s.tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", n.Path, err)
		}
	}
	if h.Typeflag == tar.TypeReg {
		if err := s.copyFile(ctx, n, attrs); err != nil {
			return err
		}
	}
	if s.made != nil {
		return n.Sync()
	}
	return nil
}

// attrs records what belongs to a file besides its bytes. The attributes of the
// directory itself are set last, and compared by the archive's own hash alone.
func (s *scan) attrs(n *tree.Node, h *tar.Header) (map[string]string, error) {
	if s.plain || n.File == nil {
		return nil, nil
	}
	attrs, err := tree.Attrs(n.File)
	if err != nil {
		return nil, err
	}
	h.PAXRecords = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		h.PAXRecords[attrRecord+name] = attrs[name]
		if n.Path != "." {
			_, _ = fmt.Fprintf(s.sum, "attr %q %q\n", name, attrs[name])
		}
	}
	if n.Sparse() && n.Mode.IsRegular() {
		h.PAXRecords[sparseRecord] = "1"
	}
	return attrs, nil
}

// kept fails if n is something that cannot be backed up, or that could not be
// removed after a restore.
func kept(n *tree.Node) error {
	if n.File == nil && n.Mode&(fs.ModeSymlink|fs.ModeSocket) == 0 {
		return &backup.Error{Err: fmt.Errorf("%s is neither a file, a directory nor a link", n.Path), Next: "remove it or move it elsewhere"}
	}
	return n.Fixed()
}

// tarMode returns the permissions and the set-id bits as a tar header has them.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	for bit, value := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			mode |= value
		}
	}
	return mode
}

// copyFile hashes a file and writes it to tw. A file that changes meanwhile is
// an error. The attributes are compared again: who may write a file can set its time back, but
// the write has taken its capabilities away, which its new bytes must not get in a restore.
func (s *scan) copyFile(ctx context.Context, n *tree.Node, attrs map[string]string) error {
	var out io.Writer = s.sum
	if s.tw != nil {
		out = io.MultiWriter(s.sum, s.tw)
	}
	k, err := io.CopyN(out, ctxio.Reader(ctx, n.File), n.Size)
	s.found.bytes += k
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s %w", n.Path, tree.ErrChanged)
	}
	if err != nil {
		return err
	}
	if !s.plain {
		now, err := tree.Attrs(n.File)
		if err == nil && !maps.Equal(now, attrs) {
			err = fmt.Errorf("%s %w", n.Path, tree.ErrChanged)
		}
		if err != nil {
			return err
		}
	}
	return n.Changed()
}
