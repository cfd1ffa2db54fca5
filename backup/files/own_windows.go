package files

import (
	"archive/tar"
	"io/fs"
	"os"
)

// Windows keeps owners in access control lists, which the new files inherit
// from the folder they are made in.

func own(*os.Root, string, *tar.Header) error { return nil }

func ownerOf(fs.FileInfo) (uid, gid int) { return 0, 0 }

func chownPath(string, int, int) error { return nil }
