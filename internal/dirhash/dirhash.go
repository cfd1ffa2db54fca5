// Package dirhash hashes directories. It exists because the archive records
// this hash and the installer's runner compares it: both must agree on every
// byte.
package dirhash

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Sum returns the hash of a directory in lower-case hex: the SHA-256 of what
// sha256sum prints for its files in byte order of their paths, so that it can
// be computed by hand. The map has the SHA-256 of each file, in lower-case
// hex, by its path below the directory, with slashes.
func Sum(files map[string]string) string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		_, _ = fmt.Fprintf(h, "%s  %s\n", files[path], path) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
