//go:build !linux

package realtest

func memory() string { return "" }
