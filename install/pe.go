package install

import (
	"bytes"
	"errors"
	"slices"

	"github.com/aspupdate/aspupdate/internal/pe"
)

// pe returns the kind of a program for Windows.
func (f headers) pe() (Kind, error) {
	p, err := f.peHeaders()
	if err != nil {
		return "", err
	}
	if p.Flags&pe.Library != 0 {
		return "", unknown("the file is a library for Windows (DLL), not a program")
	}
	if slices.ContainsFunc(p.Sections, func(s pe.Section) bool { return s.Name == ".wixburn" }) {
		return Burn, nil
	}
	if f.inno(p) {
		return Inno, nil
	}
	if _, ok := f.nsis(loaded(p)); ok {
		return NSIS, nil
	}
	return Plain, nil
}

// loaded returns where that ends which Windows loads; an installer's payload follows.
func loaded(p *pe.File) (end int64) {
	for _, s := range p.Sections {
		end = max(end, int64(s.Offset)+int64(s.Size))
	}
	return end
}

// peHeaders reads the headers of a program or library.
func (f headers) peHeaders() (*pe.File, error) {
	p, err := pe.Read(f.read)
	switch {
	case errors.Is(err, pe.ErrNotWindows):
		return nil, unknown(pe.ErrNotWindows.Error())
	case errors.Is(err, pe.ErrDamaged):
		return nil, unknown(err.Error())
	case err != nil:
		return nil, err
	case p.Flags&pe.Executable == 0:
		return nil, unknown("the program is not linked completely")
	}
	return p, nil
}

// inno reports whether the program has the table by which a setup of Inno
// finds its data: resource 11111 of the type RCDATA.
func (f headers) inno(p *pe.File) bool {
	_, ok := f.innoTable(p, 0)
	return ok
}

// innoTable returns the first bytes of what follows the table's magic.
func (f headers) innoTable(p *pe.File, n int) ([]byte, bool) {
	const (
		rcdata = 10
		table  = 11111
		magic  = "rDlPtS\xcd\xe6\xd7\x7b\x0b\x2a"
	)
	b, ok := f.resource(p, rcdata, table, int64(len(magic)+n))
	rest, is := bytes.CutPrefix(b, []byte(magic))
	return rest, ok && is
}

// resource returns the first bytes, at most limit of them, of a resource in
// any language.
func (f headers) resource(p *pe.File, typ, id, limit int64) ([]byte, bool) {
	return p.Resource(f.read, typ, id, limit)
}

// nsis returns where the payload begins like that of NSIS, which searches for
// it in steps of 512 bytes.
func (f headers) nsis(end int64) (int64, bool) {
	const magic = "\xef\xbe\xad\xdeNullsoftInst"
	at := (end + 511) &^ 511
	b, err := f.read(at, min(maxRead, max(f.size-at, 0)))
	if err != nil {
		return 0, false
	}
	for ; len(b) >= 4+len(magic); b, at = b[min(512, len(b)):], at+512 {
		if string(b[4:4+len(magic)]) == magic {
			return at, true
		}
	}
	return 0, false
}
