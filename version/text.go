package version

import (
	"database/sql/driver"
	"fmt"
	"strconv"
)

// longest is the length of the longest version, 65535.65535.65535-beta.65534.
const longest = 28

// String returns v as [Parse] parses it, and "invalid version" if v is zero.
func (v Version) String() string {
	if v.packed == 0 {
		return "invalid version"
	}
	var buf [longest]byte
	return string(v.append(buf[:0]))
}

// AppendText appends v as [Parse] parses it, and nothing if v is zero. It
// implements [encoding.TextAppender]; its error is always nil.
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

// MarshalText returns what [Version.AppendText] appends. JSON, XML and others
// use it. Its error is always nil.
func (v Version) MarshalText() ([]byte, error) {
	return v.AppendText(make([]byte, 0, longest))
}

// UnmarshalText parses text as [Parse] does; an empty text is the zero Version.
// If it fails, v is unchanged.
func (v *Version) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*v = Version{}
		return nil
	}
	// The conversion allocates only where the text is needed for the error.
	w, f := scan(string(text), strict)
	if !f.ok() {
		return f.error(opVersion, string(text))
	}
	*v = w
	return nil
}

// unmarshal sets *v to what parse returns, and to the zero value for an empty
// text. If parse fails, *v is unchanged.
func unmarshal[T any](v *T, text []byte, parse func(string) (T, error)) error {
	var w T
	if len(text) > 0 {
		var err error
		if w, err = parse(string(text)); err != nil {
			return err
		}
	}
	*v = w
	return nil
}

// Value returns v as text for a database, and NULL for the zero Version. It
// implements [driver.Valuer]; its error is always nil.
//
// Let the database compare for equality only: its order of texts differs from
// [Version.Compare] for betas and for fields of more digits than usual.
func (v Version) Value() (driver.Value, error) {
	if v.packed == 0 {
		return nil, nil
	}
	return v.String(), nil
}

// Scan parses a column of text as [Parse] does; NULL and the empty text are the
// zero Version. A numeric column is an error, since it cannot store 7.04.100.
// If it fails, v is unchanged. It implements database/sql's Scanner.
func (v *Version) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*v = Version{}
		return nil
	case string:
		return v.UnmarshalText([]byte(src))
	case []byte:
		return v.UnmarshalText(src)
	default:
		return fmt.Errorf("cannot read a version from a column of type %T; store versions as text", src)
	}
}

// Set parses a command line's argument as [ParseLoose] does, since a person typed
// it. If it fails, v is unchanged. It implements [flag.Value]; for the strict
// form use flag.TextVar.
func (v *Version) Set(s string) error {
	w, err := ParseLoose(s)
	if err != nil {
		return err
	}
	*v = w
	return nil
}
