package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/digest"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/share"
	"github.com/aspupdate/aspupdate/internal/dirhash"
)

// localParts returns the files below a directory of this machine, by path, under
// the rules for a directory on a server. See [share.ReadDir] for the timeout.
func localParts(ctx context.Context, dir string, timeout time.Duration) ([]fetch.Part, error) {
	return fetch.ReadParts(ctx, func(ctx context.Context, dir string) ([]fetch.Entry, error) {
		infos, err := share.ReadDir(ctx, timeout, share.MaxNames, func() (*os.File, error) { return os.Open(filepath.FromSlash(dir)) })
		var entries []fetch.Entry
		for _, fi := range infos {
			entries = append(entries, localEntry(fi))
		}
		return entries, err
	}, filepath.ToSlash(dir))
}

func localEntry(fi os.FileInfo) fetch.Entry {
	e := fetch.Entry{Name: fi.Name(), Kind: fetch.KindOther, Size: fi.Size(), Time: fi.ModTime().UTC()}
	switch {
	case fi.IsDir():
		e.Kind = fetch.KindDir
	case fi.Mode().IsRegular():
		e.Kind = fetch.KindFile
	}
	return e
}

// measure returns the size of all parts and the time of the newest.
func measure(parts []fetch.Part) (size int64, newest time.Time) {
	for _, p := range parts {
		size += p.Size
		if p.Time.After(newest) {
			newest = p.Time
		}
	}
	return size, newest
}

// hashParts returns the hash of a directory.
func hashParts(parts []fetch.Part) string {
	sums := make(map[string]string, len(parts))
	for _, p := range parts {
		sums[p.Path] = p.SHA256
	}
	return dirhash.Sum(sums)
}

// checkParts returns an error if parts cannot be those of an archived directory:
// a manifest is not trusted either.
func checkParts(parts []fetch.Part) error {
	taken := map[string]bool{}
	last := ""
	for _, p := range parts {
		if p.Path <= last {
			return errors.New("its files are not in order")
		}
		last = p.Path
		for name := range strings.SplitSeq(p.Path, "/") {
			if err := names.Check(name); err != nil {
				return err
			}
		}
		folded := strings.ToLower(p.Path)
		if taken[folded] || p.Size < 0 || !digest.Valid(p.SHA256) {
			return fmt.Errorf("invalid description of the file %s", names.Show(p.Path))
		}
		taken[folded] = true
	}
	return nil
}
