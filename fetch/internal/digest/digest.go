// Package digest reads SHA-256 hashes.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Parse reads 64 hexadecimal digits and returns them in lower case.
func Parse(text string) (string, bool) {
	if b, err := hex.DecodeString(text); err != nil || len(b) != sha256.Size {
		return "", false
	}
	return strings.ToLower(text), true
}

// Valid reports whether s is a SHA-256 in lower-case hexadecimal digits.
func Valid(s string) bool {
	sum, ok := Parse(s)
	return ok && sum == s
}
