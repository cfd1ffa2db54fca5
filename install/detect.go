package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

// nextKind is what to do about an ErrUnknownKind.
const nextKind = "set the Kind, and the Args that make it run unattended"

// Detect returns the kind of the installer at path. It reads headers only, a
// few kilobytes, whatever the file's size. [Plain] is any other program: its
// silent arguments are not known. A file of no kind is an [*Error] that wraps
// [ErrUnknownKind].
//
// A kind does not prove the origin: anyone can write such a header. A file is
// vouched for by its hash or its signature.
func Detect(path string) (Kind, error) {
	kind, err := fileAt(path).detect()
	if err != nil {
		e := &Error{Op: "detect", Subject: path, Err: err}
		if errors.Is(err, ErrUnknownKind) {
			e.Next = nextKind
		}
		return "", e
	}
	return kind, nil
}

// launchers are the programs that open files of no kind, by the extension, as
// the launcher and the arguments of a configuration.
var launchers = map[string]string{
	".msp":        `launcher = ["msiexec", "/p"] and arguments = ["/qn", "/norestart"]`,
	".msu":        `launcher = ["wusa"] and arguments = ["/quiet", "/norestart"]`,
	".msix":       `launcher = ["powershell", "-NoProfile", "-NonInteractive", "-Command", "Add-AppxPackage", "-Path"]`,
	".msixbundle": `launcher = ["powershell", "-NoProfile", "-NonInteractive", "-Command", "Add-AppxPackage", "-Path"]`,
	".appx":       `launcher = ["powershell", "-NoProfile", "-NonInteractive", "-Command", "Add-AppxPackage", "-Path"]`,
	".ps1":        `launcher = ["powershell", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"]`,
	".vbs":        `launcher = ["cscript", "//B", "//NoLogo"]`,
	".js":         `launcher = ["cscript", "//B", "//NoLogo"]`,
	".jar":        `launcher = ["java", "-jar"]`,
	".py":         `launcher = ["python3"]`,
	".sh":         `launcher = ["/bin/sh"]`,
}

// withLauncher adds what would open the file at path.
func withLauncher(err error, path string) error {
	if l, ok := launchers[strings.ToLower(filepath.Ext(path))]; ok {
		return fmt.Errorf("%w; %s would run it", err, l)
	}
	return err
}

// detect returns the kind of a file of size bytes.
func detect(r io.ReaderAt, size int64) (Kind, error) {
	f := headers{r, size}
	head, err := f.read(0, min(size, cfb.HeaderSize))
	if err != nil {
		return "", err
	}
	switch begins := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }; {
	case size == 0:
		return "", unknown("the file is empty")
	case begins("MZ"):
		return f.pe()
	case begins("\x7fELF"):
		return elf(head)
	case begins("#!"):
		if _, err := interpreter(head); err != nil {
			return "", unknown(err.Error())
		}
		if bytes.Contains(head, []byte(" generated using Makeself ")) {
			return makeself, nil
		}
		return Script, nil
	case begins(cfb.Magic):
		return f.compound(head)
	case begins("!<arch>\ndebian-binary "), begins("!<arch>\ndebian-binary/"):
		return Deb, nil
	case begins("\xed\xab\xee\xdb"):
		return rpmPackage(head)
	}
	for _, other := range []struct{ magic, what string }{
		{"PK\x03\x04", "the file is a zip archive: name the file in it that installs as the Entry"},
		{"PK\x05\x06", "the file is an empty zip archive"},
		{"7z\xbc\xaf\x27\x1c", "the file is a 7z archive: unpack it, and use the program in it that installs"},
		{"Rar!\x1a\x07", "the file is a RAR archive: unpack it, and use the program in it that installs"},
		{"\x1f\x8b", "the file is compressed by gzip: unpack it"},
		{"\x28\xb5\x2f\xfd", "the file is compressed by zstd: unpack it"},
		{"\xfd7zXZ\x00", "the file is compressed by xz: unpack it"},
		{"MSCF", "the file is a cabinet, which cannot be installed by itself"},
		{"!<arch>\n", "the file is an ar archive, but not a Debian package"},
		{"\xef\xbb\xbf#!", "a byte order mark precedes the interpreter line, so that no system runs the script: remove the mark"},
	} {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return "", unknown(other.what)
		}
	}
	return "", unknown("the header is not that of an installer")
}

func unknown(what string) error { return fmt.Errorf("%w: %s", ErrUnknownKind, what) }

// headers reads bounded pieces of a file whose headers may be wrong.
type headers struct {
	r    io.ReaderAt
	size int64
}

// maxRead bounds each single read.
const maxRead = 64 << 10

// read returns the n bytes at off, or an error if the file is shorter than its
// headers claim.
func (f headers) read(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || n > maxRead || off > f.size || n > f.size-off {
		return nil, unknown("the file is truncated, or its header is damaged")
	}
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// rpmPackage refuses the packages of sources, which build something.
func rpmPackage(head []byte) (Kind, error) {
	switch {
	case len(head) < 96:
		return "", unknown("the RPM package is truncated")
	case binary.BigEndian.Uint16(head[6:]) != 0:
		return "", unknown("the file is an RPM package of sources: use the one that is built from it")
	}
	return rpm, nil
}

// elf accepts programs; the position-independent ones have the type of a library.
func elf(head []byte) (Kind, error) {
	if len(head) < 64 {
		return "", unknown("the ELF file is truncated")
	}
	if t := elfOrder(head).Uint16(head[16:]); t != 2 && t != 3 {
		return "", unknown("the ELF file is not a program")
	}
	return Plain, nil
}

// compound reads the class of a compound file's root, by which an MSI package
// differs from a patch or a document.
func (f headers) compound(head []byte) (Kind, error) {
	if len(head) < cfb.HeaderSize {
		return "", unknown("the compound file is truncated")
	}
	h, err := cfb.ParseHeader(head)
	if err != nil {
		return "", unknown(err.Error())
	}
	b, err := f.read(h.Offset(h.Directory), cfb.EntrySize)
	if err != nil {
		return "", err
	}
	root := cfb.Entry(b)
	const rest = "\x10\x0c\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"
	if root.Kind() != cfb.Root || string(root.Class()[1:]) != rest {
		return "", unknown("the file is a compound file, such as a document, but not an MSI package")
	}
	switch root.Class()[0] {
	case 0x84:
		return MSI, nil
	case 0x86:
		return "", unknown("MSI patches (.msp) are not supported")
	case 0x82:
		return "", unknown("the file is an MSI transform (.mst), which is used with a package")
	}
	return "", unknown("the file is a compound file, but not an MSI package")
}

// interpreterLimit is the length of an interpreter line that Linux reads.
const interpreterLimit = 256

// interpreter returns the program in the first line of a script, and its
// argument if there is one. The system does the same, but its error for a line
// that ends with CR LF is "no such file".
func interpreter(head []byte) ([]string, error) {
	line, _, ended := bytes.Cut(head[:min(len(head), interpreterLimit)], []byte("\n"))
	if !ended && len(line) == interpreterLimit {
		return nil, errors.New("the script's interpreter line is too long")
	}
	line, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok {
		return nil, errors.New("the script has no interpreter line; set the Launcher, such as /bin/sh")
	}
	if bytes.HasSuffix(line, []byte("\r")) {
		return nil, errors.New("the script's lines end with CR LF; convert it with dos2unix")
	}
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, errors.New("the script's interpreter line is not plain text")
		}
	}
	program, arg, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(string(line), "\t", " ")), " ")
	arg = strings.TrimSpace(arg)
	if program == "" || program[0] != '/' {
		return nil, errors.New("the script's interpreter line has no program with an absolute path")
	}
	if arg == "" {
		return []string{program}, nil
	}
	return []string{program, arg}, nil // one argument, including spaces, as in the system
}
