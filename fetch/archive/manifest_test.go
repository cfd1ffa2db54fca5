package archive

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
)

func TestTheLargestManifestCanBeReadBack(t *testing.T) {
	m := manifest{File: "Setup"}
	part := fetch.Part{Path: strings.Repeat("&", 400), SHA256: strings.Repeat("a", 64)} // JSON for web pages makes six bytes of it
	for range 20_000 {
		m.Parts = append(m.Parts, part)
	}
	b, err := m.encode()
	require.NoError(t, err)
	require.Less(t, len(b), maxManifest)
}
