package install

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/cfb"
	"github.com/aspupdate/aspupdate/internal/pe"
)

// A processor is a family of processors, as people read it. Empty is one that is not
// known, or any.
type processor string

const (
	x86     processor = "x86"
	x64     processor = "x86-64"
	arm     processor = "ARM"
	arm64   processor = "ARM64"
	itanium processor = "Itanium"
	powerPC processor = "PowerPC"
	sparc   processor = "SPARC"
	mips    processor = "MIPS"
	s390    processor = "S/390"
	riscV   processor = "RISC-V"
	loong   processor = "LoongArch"
	elbrus  processor = "Elbrus"
)

// A machine is what decides which programs run.
type machine struct {
	goos      string
	processor processor
	build     uint32 // of Windows
	only64    bool   // Windows without the part that runs programs of 32 bits
}

// firstX64OnARM is the build of Windows from which on ARM64 runs programs for x86-64.
const firstX64OnARM = 22000

// runs is false where the machine surely cannot run a program for p. What it may run,
// perhaps by emulation, is for the system to decide.
func (m machine) runs(p processor) bool {
	if p == "" || m.processor == "" || m.processor == elbrus { // which translates others
		return true
	}
	if m.goos != "windows" { // a kernel of 64 bits may run the programs of 32
		return p == m.processor || m.processor == x64 && p == x86 || m.processor == arm64 && p == arm
	}
	switch m.processor {
	case x64:
		return p == x64 || p == x86 && !m.only64
	case arm64:
		return p == arm64 || p == arm || p == x86 && !m.only64 || p == x64 && m.build >= firstX64OnARM
	}
	return p == m.processor
}

// fits fails where the machine surely cannot run the file, because it was made for other
// processors. What a launcher can open is not known.
func (c Command) fits(ctx context.Context, f contents) error {
	if f.read == nil || len(c.Launcher) > 0 {
		return nil
	}
	if c.Kind == Deb || c.Kind == apt {
		return c.packageFits(ctx, f)
	}
	if slices.Contains(c.Args, "--ignorearch") && c.Kind == rpm {
		return nil
	}
	var p processor
	err := f.read(func(h headers) (err error) {
		if f.zipped && c.Kind == MSI && h.size > maxZippedMSI {
			return nil
		}
		p, err = h.processor(c.Kind)
		return err
	})
	here := thisMachine()
	switch {
	case err != nil:
		return err
	case here.runs(p):
		return nil
	case p == x86 && here.only64:
		return fmt.Errorf("the installer is a program of 32 bits, and this Windows runs none, because its WOW64 is missing: %w; add WOW64, or get an installer of 64 bits", errors.ErrUnsupported)
	case c.Kind == Plain:
		if head, err := f.head(); err == nil && interpreted(head) {
			return nil
		}
	}
	return fmt.Errorf("an installer for %s cannot run on this machine, which is %s: %w; get the one for this machine, or set a Launcher that runs it here", p, here.processor, errors.ErrUnsupported)
}

// maxZippedMSI bounds the packages in zip archives that are asked for their processor before
// they are unpacked: what is spread over one costs to unpack it several times.
const maxZippedMSI = 256 << 20

// processor returns what the file was made for. Headers that say nothing clear are no error.
func (f headers) processor(kind Kind) (processor, error) {
	switch kind {
	case MSI:
		return f.packageOfWindows(), nil
	case rpm:
		return f.rpmProcessor(), nil
	case Script, makeself:
		return "", nil
	}
	head, err := f.read(0, min(f.size, 64))
	switch {
	case err != nil:
		return "", err
	case bytes.HasPrefix(head, []byte("\x7fELF")) && len(head) == 64:
		return elfProcessors[elfOrder(head).Uint16(head[18:])], nil
	case !bytes.HasPrefix(head, []byte("MZ")):
		return "", nil
	}
	p, err := f.peHeaders()
	switch {
	case errors.Is(err, ErrUnknownKind): // detection or Windows complains
		return "", nil
	case err != nil:
		return "", err
	case p.Machine == peX86 && len(p.Directories) > pe.Managed && p.Directories[pe.Managed].Address != 0:
		return "", nil // programs of .NET have this number also where they run everywhere
	}
	return peProcessors[p.Machine], nil
}

const peX86 = 0x14c

var peProcessors = map[uint16]processor{peX86: x86, 0x8664: x64, 0xaa64: arm64, 0x1c0: arm, 0x1c2: arm, 0x1c4: arm, 0x200: itanium}

var elfProcessors = map[uint16]processor{
	2: sparc, 3: x86, 8: mips, 18: sparc, 20: powerPC, 21: powerPC, 22: s390, 40: arm, 43: sparc, 50: itanium,
	62: x64, 175: elbrus, 183: arm64, 243: riscV, 258: loong,
}

func elfOrder(head []byte) binary.ByteOrder {
	if head[5] == 2 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// namedProcessor returns the family of a name that Linux or rpm has for it, such as i586.
func namedProcessor(name string) processor {
	for _, n := range []struct {
		prefix string
		is     processor
	}{
		{"x86_64", x64}, {"amd64", x64}, {"ia32e", x64}, {"aarch64", arm64}, {"arm", arm}, {"ppc", powerPC},
		{"s390", s390}, {"riscv", riscV}, {"loongarch", loong}, {"mips", mips}, {"sparc", sparc}, {"e2k", elbrus}, {"ia64", itanium},
		{"i386", x86}, {"i486", x86}, {"i586", x86}, {"i686", x86}, {"athlon", x86}, {"geode", x86}, {"pentium", x86},
	} {
		if strings.HasPrefix(name, n.prefix) {
			return n.is
		}
	}
	return "" // noarch
}

// packageOfWindows reads the template of an MSI package, such as "x64;1033". One for Intel
// has 32 bits and is installed everywhere.
func (f headers) packageOfWindows() processor {
	const templateID = 7
	b, err := cfb.ReadStream(f.read, "\x05SummaryInformation", maxSummary)
	if err != nil {
		return ""
	}
	platforms, _, _ := strings.Cut(summaryText(b, templateID), ";")
	return map[string]processor{"x64": x64, "amd64": x64, "intel64": itanium, "arm": arm, "arm64": arm64}[strings.ToLower(strings.TrimSpace(platforms))]
}

const maxSummary = 32 << 10 // real ones have less than 1 KiB

// summaryText returns a text of a summary ([MS-OLEPS]), "" if it has none of that number.
func summaryText(b []byte, id uint32) string {
	const (
		begin  = 44 // of the first section's offset
		ofText = 30 // the type
	)
	number := func(at uint32) uint32 {
		if uint64(at)+4 > uint64(len(b)) {
			return 0
		}
		return binary.LittleEndian.Uint32(b[at:])
	}
	section := number(begin)
	if section > maxSummary {
		return ""
	}
	for i := range min(number(section+4), 100) {
		entry := section + 8 + 8*i
		if number(entry) != id {
			continue
		}
		at := section + min(number(entry+4), maxSummary)
		size := number(at + 4)
		if number(at) != ofText || uint64(at)+8+uint64(size) > uint64(len(b)) {
			return ""
		}
		text, _, _ := bytes.Cut(b[at+8:][:size], []byte{0})
		return string(text)
	}
	return ""
}

// rpmProcessor reads the architecture from a package's header, which follows one of
// signatures. The lead before both is not to be relied on.
func (f headers) rpmProcessor() processor {
	const archTag = 1022
	signatures, ok := f.rpmHeader(rpmLead)
	if !ok {
		return ""
	}
	h, ok := f.rpmHeader((signatures.end + 7) &^ 7)
	if !ok {
		return ""
	}
	text, _ := f.rpmTag(h, archTag, 32)
	name, _, _ := bytes.Cut(text, []byte{0})
	return namedProcessor(string(name))
}

const rpmLead = 96 // bytes before the header of signatures

// An rpmHeader is where one of a package's two is: a table of tags, and their data.
type rpmHeader struct{ table, data, end int64 }

func (f headers) rpmHeader(at int64) (h rpmHeader, ok bool) {
	b, err := f.read(at, 16)
	if err != nil || string(b[:4]) != "\x8e\xad\xe8\x01" {
		return h, false
	}
	h.table = at + 16
	h.data = h.table + 16*int64(binary.BigEndian.Uint32(b[8:]))
	h.end = h.data + int64(binary.BigEndian.Uint32(b[12:]))
	return h, true
}

// rpmTag returns the first bytes, at most limit of them, of what a header has by a tag.
func (f headers) rpmTag(h rpmHeader, tag uint32, limit int64) ([]byte, bool) {
	const most = maxRead / 16 * 16
	table, err := f.read(h.table, min(h.data-h.table, most))
	for ; err == nil && len(table) >= 16; table = table[16:] {
		if binary.BigEndian.Uint32(table) == tag {
			from := h.data + int64(binary.BigEndian.Uint32(table[8:]))
			b, err := f.read(from, min(limit, max(f.size-from, 0)))
			return b, err == nil
		}
	}
	return nil, false
}

// packageFits asks dpkg which packages it accepts. Where it does not answer, it will complain
// itself.
func (c Command) packageFits(ctx context.Context, f contents) error {
	if slices.ContainsFunc(c.Args, func(a string) bool { // of another system than this, or by force
		return strings.Contains(a, "--root") || strings.Contains(a, "--admindir") || strings.Contains(a, "force-architecture") || strings.Contains(a, "force-all")
	}) {
		return nil
	}
	ask := func(in io.Reader, program string, args ...string) []string {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env, cmd.Stdin = BaseEnv(), in
		out, err := cmd.Output()
		if err != nil {
			return nil
		}
		return strings.Fields(string(out))
	}
	var of []string
	err := f.read(func(h headers) error {
		var in io.Reader
		file, err := filepath.Abs(f.path)
		if f.zipped { // what older versions of dpkg do not read
			in, file = io.NewSectionReader(h.r, 0, h.size), "-"
		}
		of = ask(in, "dpkg-deb", "--field", file, "Architecture")
		return errors.Join(err, context.Cause(ctx))
	})
	if err != nil || len(of) != 1 || of[0] == "all" {
		return err
	}
	accepted := ask(nil, "dpkg", "--print-architecture")
	if len(accepted) != 1 || slices.Contains(accepted, of[0]) {
		return nil
	}
	accepted = append(accepted, ask(nil, "dpkg", "--print-foreign-architectures")...)
	if slices.Contains(accepted, of[0]) {
		return context.Cause(ctx)
	}
	return fmt.Errorf("a package for %s cannot be installed on this machine, where dpkg accepts %s: %w; get the one for this machine, or add the architecture by dpkg --add-architecture", of[0], strings.Join(accepted, " "), errors.ErrUnsupported)
}
