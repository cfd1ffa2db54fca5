package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

// nextKind is what to do about an ErrUnknownKind.
const nextKind = "state the Kind, and the Args that make it run unattended"

// Detect tells what kind of installer the file is. It reads headers only,
// some kilobytes of them at most, whatever the file's size. [Plain] is a
// program of which no more is known: it takes arguments that only its maker
// can tell. What is none of the kinds is an [*Error] that wraps
// [ErrUnknownKind].
//
// A kind is not a proof: anybody can write such a header. What vouches for a
// file is its hash or its signature.
func Detect(path string) (Kind, error) {
	kind, err := detectFile(path)
	if err != nil {
		e := &Error{Op: "detect", Path: path, Err: err}
		if errors.Is(err, ErrUnknownKind) {
			e.Next = nextKind
		}
		return "", e
	}
	return kind, nil
}

// detectFile opens nothing but a regular file: opening a pipe would wait.
func detectFile(path string) (Kind, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file; name the installer itself", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	return detect(f, fi.Size())
}

// detect tells the kind of a file of size bytes.
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
		return Script, nil
	case begins(cfb.Magic):
		return f.compound(head)
	case begins("!<arch>\ndebian-binary "), begins("!<arch>\ndebian-binary/"):
		return Deb, nil
	}
	for _, other := range []struct{ magic, what string }{
		{"PK\x03\x04", "it is a zip archive: name the file in it that installs as the Entry"},
		{"PK\x05\x06", "it is an empty zip archive"},
		{"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it, and name the program in it that installs"},
		{"Rar!\x1a\x07", "it is a RAR archive: unpack it, and name the program in it that installs"},
		{"\x1f\x8b", "it is compressed by gzip: unpack it"},
		{"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it"},
		{"\xfd7zXZ\x00", "it is compressed by xz: unpack it"},
		{"MSCF", "it is a cabinet, which no program installs by itself"},
		{"\xed\xab\xee\xdb", "it is an RPM package, which is not supported"},
		{"!<arch>\n", "it is an archive of the kind ar, but no Debian package"},
		{"\xef\xbb\xbf#!", "a byte order mark stands before its interpreter line, so that no system runs it: remove the mark"},
	} {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return "", unknown(other.what)
		}
	}
	return "", unknown("its header is that of no installer")
}

func unknown(what string) error { return fmt.Errorf("%w: %s", ErrUnknownKind, what) }

// headers reads bounded pieces of a file that may lie about itself.
type headers struct {
	r    io.ReaderAt
	size int64
}

// maxRead bounds each single read.
const maxRead = 64 << 10

// read returns the n bytes at off, all of them or an error that says that the
// file is too short for what it claims.
func (f headers) read(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || n > maxRead || off > f.size || n > f.size-off {
		return nil, unknown("it is cut short, or its header is damaged")
	}
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// elf accepts programs; position-independent ones have the type of a library.
func elf(head []byte) (Kind, error) {
	if len(head) < 64 {
		return "", unknown("it is an ELF file, but cut short")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[5] == 2 {
		order = binary.BigEndian
	}
	if t := order.Uint16(head[16:]); t != 2 && t != 3 {
		return "", unknown("it is an ELF file, but no program")
	}
	return Plain, nil
}

// compound looks up the class of a compound file's root: that is what tells
// an MSI package from a patch or a document.
func (f headers) compound(head []byte) (Kind, error) {
	if len(head) < cfb.HeaderSize {
		return "", unknown("it is a compound file, but cut short")
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
		return "", unknown("it is a compound file, such as a document, but no MSI package")
	}
	switch root.Class()[0] {
	case 0x84:
		return MSI, nil
	case 0x86:
		return "", unknown("it is an MSI patch (.msp), which is not supported")
	case 0x82:
		return "", unknown("it is an MSI transform (.mst), which goes with a package")
	}
	return "", unknown("it is a compound file, but no MSI package")
}

// interpreterLimit is how long Linux lets an interpreter line be.
const interpreterLimit = 256

// interpreter returns the program, and its argument if there is one, that the
// first line of a script names. The system does the same, but its complaint
// about a line that ends as Windows ends lines is "no such file".
func interpreter(head []byte) ([]string, error) {
	line, _, ended := bytes.Cut(head[:min(len(head), interpreterLimit)], []byte("\n"))
	if !ended && len(line) == interpreterLimit {
		return nil, errors.New("the script's interpreter line is too long")
	}
	line, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok {
		return nil, errors.New("the script has no interpreter line; state the Launcher, such as /bin/sh")
	}
	if bytes.HasSuffix(line, []byte("\r")) {
		return nil, errors.New("the script's lines end as Windows ends them; convert it with dos2unix")
	}
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, errors.New("the script's interpreter line is not plain text")
		}
	}
	program, arg, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(string(line), "\t", " ")), " ")
	arg = strings.TrimSpace(arg)
	if program == "" || program[0] != '/' {
		return nil, errors.New("the script's interpreter line names no program by its whole path")
	}
	if arg == "" {
		return []string{program}, nil
	}
	return []string{program, arg}, nil // one argument, blanks and all, as the system has it
}
