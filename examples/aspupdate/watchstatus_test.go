package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A screen has the height and the width of its terminal, and of a long status the end, where the
// next step stands. Nothing in it steers the terminal.
func TestScreenFitsTheTerminal(t *testing.T) {
	require.Equal(t, []string{"title", "one", "two"}, screen("title", "one\ntwo\n", 80, 24))
	require.Equal(t, []string{"titl", "абвг", "де", "[31m"}, screen("title", "абвгде\n\x1b[31m\n", 5, 24))
	long := screen("title", strings.Repeat("line\n", 100)+"next: recover\n", 80, 24)
	require.Len(t, long, 24)
	require.Equal(t, []string{"title", "line"}, long[:2])
	require.Equal(t, "next: recover", long[23])
	require.Len(t, screen("title", "one\ntwo\n", 80, 1), 2)
}
