//go:build !linux && !windows

package install

func thisMachine() machine { return machine{} }

func interpreted([]byte) bool { return false }
