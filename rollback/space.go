package rollback

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// FreeSpace returns how many bytes this user may write on the volume of path,
// which need not exist yet, and an ID of the volume, the same for all paths on
// it: what [Update.Plan] compares a [Need] with.
func FreeSpace(path string) (bytes int64, volume string, err error) {
	v, err := durable.VolumeOf(path)
	return v.Free, v.ID, err
}

// A volumeNeed is what is needed on one volume.
type volumeNeed struct {
	id    string
	free  int64
	path  string // of the first role
	roles []*roleNeed
}

// A roleNeed is what one role needs there.
type roleNeed struct {
	bytes    int64
	purposes []string
}

// sum returns the sum, and what it is for: of the roles that need the most first.
func (v *volumeNeed) sum() (Need, []string) {
	n := Need{Path: v.path}
	var purposes []string
	slices.SortStableFunc(v.roles, func(a, b *roleNeed) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, r := range v.roles {
		n.Bytes += r.bytes
		purposes = append(purposes, r.purposes...)
	}
	n.For = strings.Join(purposes, ", ")
	return n, purposes
}

// few returns the first of what space is needed for, and how many more there are.
func few(purposes []string) string {
	const most = 3
	if len(purposes) <= most+1 {
		return strings.Join(purposes, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(purposes[:most], ", "), len(purposes)-most)
}

// leastFree is the space without which a journal or a mark may not fit on a volume.
const leastFree = 64 << 10

// checkWritable refuses where state, archive or backups cannot be written, or have
// no space, as far as that shows without writing. A directory that is not there is
// created, or gets no mark.
func (u *Update) checkWritable() error {
	m := newMarker(u.tuning)
	for _, dir := range append([]string{u.Dir}, u.Kept...) {
		err := m.in(dir, func() error { return durable.Writable(dir, leastFree) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unwritable(fileError("write to", dir, err))
		}
	}
	return nil
}

// unwritable refuses because of what cannot be written.
func unwritable(err error) *Error {
	what := "state, archive and backups must be writable: %w"
	if errors.Is(err, syscall.ENOSPC) {
		return refuse(ReasonSpace, "", what, err).then("free space on it")
	}
	return refuse(ReasonState, "", what, err).then("make it writable, or bring its share back")
}
