//go:build !windows

package install

import "os/exec"

// serviceBusy returns false: only Windows has such a service.
func serviceBusy() (bool, error) { return false, nil }

func msiexec() string { return "msiexec" }

// setLine does nothing: only Windows has command lines.
func setLine(*exec.Cmd, string) {}
