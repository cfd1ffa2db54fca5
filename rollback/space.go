package rollback

import "github.com/aspupdate/aspupdate/internal/durable"

// FreeSpace returns how many bytes this user may write on the volume of path,
// which need not exist yet, and an ID of the volume, the same for all paths on
// it: what [Update.Plan] compares a [Need] with.
func FreeSpace(path string) (bytes int64, volume string, err error) {
	v, err := durable.VolumeOf(path)
	return v.Free, v.ID, err
}
