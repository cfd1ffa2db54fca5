package version

import (
	"database/sql/driver"
	"fmt"
	"strconv"
)

// longest is the length of the longest version, 65535.65535.65535-beta.65534.
const longest = 28

// String returns v in the form that [Parse] reads, and "invalid version" if v
// is zero.
func (v Version) String() string {
	if v.packed == 0 {
		return "invalid version"
	}
	var buf [longest]byte
	return string(v.append(buf[:0]))
}

// AppendText appends v in the form that [Parse] reads, and nothing if v is
// zero. It implements [encoding.TextAppender]; its error is always nil.
func (v Version) AppendText(b []byte) ([]byte, error) {
	if v.packed == 0 {
		return b, nil
	}
	return v.append(b), nil
}

func (v Version) append(b []byte) []byte {
	if x := v.X(); x < 10 {
		b = append(b, byte('0'+x), '.') //nolint:gosec // one digit
	} else {
		b = append(strconv.AppendUint(b, uint64(x), 10), '.')
	}
	if yy := v.YY(); yy < 100 {
		b = append(b, byte('0'+yy/10), byte('0'+yy%10), '.') //nolint:gosec // two digits
	} else {
		b = append(strconv.AppendUint(b, uint64(yy), 10), '.')
	}
	if zzz := v.ZZZ(); zzz < 1000 {
		b = append(b, byte('0'+zzz/100), byte('0'+zzz/10%10), byte('0'+zzz%10)) //nolint:gosec // three digits
	} else {
		b = strconv.AppendUint(b, uint64(zzz), 10)
	}
	if beta := v.packed & most; beta != release {
		b = append(b, "-beta"...)
		if beta > 0 {
			b = strconv.AppendUint(append(b, '.'), beta, 10)
		}
	}
	return b
}

// MarshalText returns v in the form that [Parse] reads, and an empty text if v
// is zero. JSON, XML and many others go through it. Its error is always nil.
func (v Version) MarshalText() ([]byte, error) {
	return v.AppendText(make([]byte, 0, longest))
}

// UnmarshalText reads what [Version.MarshalText] wrote, as strictly as
// [Parse]; an empty text is the zero Version. If it fails, v stays as it was.
func (v *Version) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*v = Version{}
		return nil
	}
	// The conversion allocates only where the text is needed for the error.
	w, f := scan(string(text), strict)
	if !f.ok() {
		return f.error(string(text), asVersion)
	}
	*v = w
	return nil
}

// Value stores v in a database as text, and the zero Version as NULL. It
// implements [driver.Valuer]; its error is always nil.
//
// Let a database compare for equality only: its order of texts is that of
// [Version.Compare] as long as no field grows wider and there are no betas.
func (v Version) Value() (driver.Value, error) {
	if v.packed == 0 {
		return nil, nil
	}
	return v.String(), nil
}

// Scan reads a column of text, as strictly as [Parse]; NULL and the empty text
// are the zero Version. A numeric column is an error, since 7.04.100 cannot have
// come out of one unharmed. If it fails, v stays as it was. It implements
// database/sql's Scanner.
func (v *Version) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*v = Version{}
		return nil
	case string:
		if src == "" {
			*v = Version{}
			return nil
		}
		w, err := Parse(src)
		if err != nil {
			return err
		}
		*v = w
		return nil
	case []byte:
		return v.UnmarshalText(src)
	default:
		return fmt.Errorf("cannot read a version from a column of type %T: store versions as text", src)
	}
}

// Set reads a command line's argument as [ParseLoose] does, since a person typed
// it. If it fails, v stays as it was. It implements [flag.Value]; where the
// strict form is wanted, use flag.TextVar.
func (v *Version) Set(s string) error {
	w, err := ParseLoose(s)
	if err != nil {
		return err
	}
	*v = w
	return nil
}
