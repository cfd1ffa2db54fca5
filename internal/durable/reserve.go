package durable

import (
	"errors"
	"os"
)

// Reserve makes the file at path with that many bytes of the volume, which are then
// kept for the one who removes it. The error is that of a full disk if they are not
// free, and no file is left.
func Reserve(path string, bytes int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = Remove(path)
		}
	}()
	if err := allocate(f, bytes); err == nil || !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	zeros := make([]byte, 1<<20)
	for bytes > 0 {
		n, err := f.Write(zeros[:min(bytes, int64(len(zeros)))])
		if err != nil {
			return err
		}
		bytes -= int64(n)
	}
	return f.Sync()
}
