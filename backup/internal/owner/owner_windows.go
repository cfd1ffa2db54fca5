package owner

import (
	"io/fs"
	"os"
)

func ids(fs.FileInfo) (uid, gid int) { return 0, 0 }

// Chown does nothing: see [Owner].
func Chown(*os.Root, string, int, int) error { return nil }
