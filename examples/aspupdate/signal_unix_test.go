//go:build unix

package main

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// interruptGroup sends what a terminal sends for Ctrl-C.
func interruptGroup(t *testing.T, group int) {
	require.NoError(t, syscall.Kill(-group, syscall.SIGINT))
}
