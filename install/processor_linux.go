package install

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func thisMachine() machine {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return machine{goos: "linux"}
	}
	return machine{goos: "linux", processor: namedProcessor(unix.ByteSliceToString(name.Machine[:]))}
}

// interpreted reports whether the kernel hands such programs to an emulator.
func interpreted(head []byte) bool { return interpretedBy("/proc/sys/fs/binfmt_misc", head) }

func interpretedBy(dir string, head []byte) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, file := range files {
		if filepath.Base(file) == "register" { // which is for writing
			continue
		}
		b, err := os.ReadFile(file)
		if err == nil && fitsFormat(string(b), head) {
			return true
		}
	}
	return false
}

// fitsFormat compares the beginning of a file with a format that was registered.
func fitsFormat(format string, head []byte) bool {
	enabled := false
	offset, magic, mask := 0, []byte(nil), []byte(nil)
	for line := range strings.Lines(format) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "enabled":
			enabled = true
		case "offset":
			offset, _ = strconv.Atoi(value)
		case "magic":
			magic, _ = hex.DecodeString(value)
		case "mask":
			mask, _ = hex.DecodeString(value)
		}
	}
	if !enabled || len(magic) == 0 || offset < 0 || offset+len(magic) > len(head) {
		return false
	}
	got := bytes.Clone(head[offset:][:len(magic)])
	for i := range min(len(mask), len(got)) {
		got[i] &= mask[i]
		magic[i] &= mask[i]
	}
	return bytes.Equal(got, magic)
}
