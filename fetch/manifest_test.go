package fetch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLargestManifestCanBeReadBack(t *testing.T) {
	m := manifest{File: "Setup"}
	part := Part{Path: strings.Repeat("&", maxPath), SHA256: strings.Repeat("a", 64)} // JSON for web pages makes six bytes of it
	for range maxParts {
		m.Parts = append(m.Parts, part)
	}
	b, err := m.encode()
	require.NoError(t, err)
	require.Less(t, len(b), maxManifest)
}
