package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

// whole fails where the file is shorter than its headers say: such a one would fail when users
// are out. What follows the headers is not read, and where they say nothing the file passes.
func (c contents) whole() error {
	if c.read == nil || c.zipped { // the sum in an archive vouches for a file in it
		return nil
	}
	return c.read(func(f headers) error {
		end, err := f.end()
		if err == nil && end > f.size {
			err = fmt.Errorf("the file has been cut short: it has %d bytes, and should have at least %d; fetch it again", f.size, end)
		}
		return err
	})
}

// end returns how large the file must be at least, 0 if that is not known.
func (f headers) end() (int64, error) {
	head, err := f.read(0, min(f.size, cfb.HeaderSize))
	if err != nil {
		return 0, err
	}
	switch begins := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }; {
	case begins("MZ"):
		return f.peEnd()
	case begins(cfb.Magic) && len(head) == cfb.HeaderSize:
		end, err := cfb.End(f.read)
		if errors.Is(err, cfb.ErrDamaged) {
			return 0, nil // detection or Windows complains
		}
		return end, err
	case begins("!<arch>\ndebian-binary"):
		return f.debEnd()
	case begins("\xed\xab\xee\xdb"):
		return f.rpmEnd(), nil
	}
	return 0, nil
}

// peEnd returns where the program ends, and the payload of Inno Setup and of NSIS, which check
// the same once they have been started.
func (f headers) peEnd() (int64, error) {
	p, err := f.peHeaders()
	if err != nil {
		if errors.Is(err, ErrUnknownKind) {
			err = nil // detection or Windows complains
		}
		return 0, err
	}
	end, le := p.End(), binary.LittleEndian
	if table, ok := f.innoTable(p, 8); ok && len(table) == 8 && le.Uint32(table) == 1 { // the only version with this size
		end = max(end, int64(le.Uint32(table[4:])))
	}
	if at, ok := f.nsis(loaded(p)); ok {
		const size = 24 // after flags, the magic, and the size of a header
		if b, err := f.read(at+size, 4); err == nil {
			end = max(end, at+int64(le.Uint32(b)))
		}
	}
	return end, nil
}

// debEnd returns where the data of a package ends, which dpkg reads last.
func (f headers) debEnd() (int64, error) {
	const header = 60
	for at := int64(len("!<arch>\n")); ; {
		if f.size < at+header {
			return at + header, nil // it ends before its data
		}
		b, err := f.read(at, header)
		if err != nil {
			return 0, err
		}
		size, ok := parseSize(string(b[48:58]))
		if !ok || string(b[58:]) != "`\n" {
			return 0, nil // dpkg complains
		}
		at += header + size
		if bytes.HasPrefix(b, []byte("data.tar")) || at > f.size {
			return at, nil
		}
		at += at % 2
	}
}

// parseSize parses a member's.
func parseSize(text string) (int64, bool) {
	size, err := strconv.ParseInt(strings.TrimRight(text, " "), 10, 64)
	return size, err == nil && size >= 0
}

// rpmEnd returns where the package ends as the header of signatures says, at least where the
// second header does.
func (f headers) rpmEnd() int64 {
	const size, longSize = 1000, 270 // of that header and what follows it
	signatures, ok := f.rpmHeader(rpmLead)
	if !ok {
		return 0 // rpm complains
	}
	begin := (signatures.end + 7) &^ 7
	end, be := begin+16, binary.BigEndian
	if h, ok := f.rpmHeader(begin); ok {
		end = h.end
	}
	if b, ok := f.rpmTag(signatures, size, 4); ok && len(b) == 4 {
		end = max(end, begin+int64(be.Uint32(b)))
	}
	if b, ok := f.rpmTag(signatures, longSize, 8); ok && len(b) == 8 && be.Uint64(b) < 1<<62 {
		end = max(end, begin+int64(be.Uint64(b))) //nolint:gosec // compared above
	}
	return end
}
