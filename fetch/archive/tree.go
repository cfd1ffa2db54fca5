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
	"github.com/aspupdate/aspupdate/internal/dirhash"
)

// localTree returns the files below a folder of this machine, by path, under
// the rules for a folder on a server.
func localTree(dir string) ([]fetch.Part, error) {
	return fetch.ReadParts(context.Background(), func(_ context.Context, dir string) ([]fetch.Entry, error) {
		listed, err := os.ReadDir(filepath.FromSlash(dir))
		var entries []fetch.Entry
		for _, l := range listed {
			fi, err := l.Info()
			if err != nil {
				return nil, err
			}
			e := fetch.Entry{Name: l.Name(), Kind: fetch.KindOther, Size: fi.Size(), Time: fi.ModTime().UTC()}
			switch {
			case fi.IsDir():
				e.Kind = fetch.KindFolder
			case fi.Mode().IsRegular():
				e.Kind = fetch.KindFile
			}
			entries = append(entries, e)
		}
		return entries, err
	}, filepath.ToSlash(dir))
}

// whole returns the size of all parts and the time of the newest.
func whole(parts []fetch.Part) (size int64, newest time.Time) {
	for _, p := range parts {
		size += p.Size
		if p.Time.After(newest) {
			newest = p.Time
		}
	}
	return size, newest
}

// sumTree returns the hash of a folder.
func sumTree(parts []fetch.Part) string {
	sums := make(map[string]string, len(parts))
	for _, p := range parts {
		sums[p.Path] = p.SHA256
	}
	return dirhash.Sum(sums)
}

// checkTree reports whether parts can be those of a folder in the archive:
// nothing of a manifest is believed either.
func checkTree(parts []fetch.Part) error {
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
			return fmt.Errorf("%s is not described as a file", names.Show(p.Path))
		}
		taken[folded] = true
	}
	return nil
}
