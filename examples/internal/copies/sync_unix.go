//go:build !windows

package copies

import "os"

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	// Some network file systems cannot; a name that is lost in a power cut is copied again.
	_ = d.Sync()
	return nil
}
