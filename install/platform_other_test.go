//go:build !linux && !windows

package install

import "os/exec"

func alive(int) bool   { return false }
func detach(*exec.Cmd) {}

func bornEarlier(int) string { return "" }
