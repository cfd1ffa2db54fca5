package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain is the program in the processes that the demo starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestDemo has real sites in processes of their own: a good release during which
// the center is killed, a bad one that stops at the canary, its re-release.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	err := play(t.Context(), &out, 2)
	t.Log(out.String())
	require.NoError(t, err)
	assert.Contains(t, out.String(), `stopped: canary "Село №1" was rolled back`)
	assert.Contains(t, out.String(), "superseded: rollout 7.13.200 again")
	assert.Contains(t, out.String(), "all 2 sites are healthy at version 7.13.200")
}
