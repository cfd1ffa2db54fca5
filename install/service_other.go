//go:build !windows

package install

// serviceBusy reports false: only Windows has such a service.
func serviceBusy() (bool, error) { return false, nil }

func msiexec() string { return "msiexec" }
