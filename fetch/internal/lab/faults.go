package lab

import (
	"os"
	"path/filepath"
	"runtime"
)

// FileFaults returns what can happen to a file while it is read: the file has old, and
// other has as many bytes.
func FileFaults(old, other []byte) map[string]func(full string) error {
	half := len(old) / 2
	faults := map[string]func(full string) error{
		"cut to half":    func(full string) error { return os.Truncate(full, int64(half)) },
		"cut to nothing": func(full string) error { return os.Truncate(full, 0) },
		"longer":         func(full string) error { return os.Truncate(full, int64(len(old)+1000)) },
		"written over":   func(full string) error { return os.WriteFile(full, other, 0o600) },
		"written over from half": func(full string) error {
			return os.WriteFile(full, append(old[:half:half], other[half:]...), 0o600)
		},
		"replaced": func(full string) error {
			if err := os.WriteFile(full+".new", other, 0o600); err != nil {
				return err
			}
			return os.Rename(full+".new", full)
		},
		"removed":        os.Remove,
		"all is removed": func(full string) error { return os.RemoveAll(filepath.Dir(full)) },
	}
	if runtime.GOOS == "windows" { // an open file stays where it is there
		for _, name := range []string{"replaced", "removed", "all is removed"} {
			delete(faults, name)
		}
	}
	return faults
}
