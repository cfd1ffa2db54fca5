package version

import (
	"fmt"
	"strings"
)

// A Name is the name of a release (R2), /<distribution>/X.YY.ZZZ, or of one of
// its variants (R3), such as /<distribution>/X.YY.ZZZ/Setup. Names are
// comparable. The zero Name means "no name".
//
// The bare /<distribution>/Setup of R3 is a path on the vendor's server and not
// a Name, since it has no version.
type Name struct {
	Distribution string  // valid by [CheckDistribution], such as "АСП"
	Version      Version // never zero
	Variant      Variant // zero if the name has none
}

// ParseName parses a name such as /АСП/7.04.100 or /АСП/7.04.100/Setup. The
// version is parsed as by [Parse], and the distribution must pass
// [CheckDistribution]. The result prints as s. The error is an [*Error].
func ParseName(s string) (Name, error) {
	rest, found := strings.CutPrefix(s, "/")
	if !found {
		return Name{}, fault{0, partName, "does not start with a slash; write /<distribution>/X.YY.ZZZ, as in /АСП/7.04.100"}.error(opName, s)
	}
	dist, rest, found := strings.Cut(rest, "/")
	if f := checkDistribution(dist); !f.ok() {
		return Name{}, f.in(1).error(opName, s)
	}
	if !found {
		return Name{}, fault{len(s), partX, "is missing; write /<distribution>/X.YY.ZZZ, as in /АСП/7.04.100"}.error(opName, s)
	}
	number, variant, found := strings.Cut(rest, "/")
	v, f := scan(number, strict)
	if !f.ok() {
		return Name{}, f.in(len(s)-len(rest)).error(opName, s)
	}
	n := Name{Distribution: dist, Version: v}
	if found {
		var err error
		if n.Variant, err = parseVariant(variant); err != nil {
			return Name{}, fault{len(s) - len(variant), partVariant, "is not Setup or FullSetup"}.error(opName, s)
		}
	}
	return n, nil
}

// String returns n as [ParseName] parses it, "no name" for the zero Name, and
// "invalid name" for one that ParseName cannot return.
func (n Name) String() string {
	if n == (Name{}) {
		return "no name"
	}
	b, err := n.AppendText(nil)
	if err != nil {
		return "invalid name"
	}
	return string(b)
}

// AppendText appends n as [ParseName] parses it, and nothing for the zero Name.
// It fails if n has no version or an invalid distribution, so that all it
// writes can be parsed.
func (n Name) AppendText(b []byte) ([]byte, error) {
	if n == (Name{}) {
		return b, nil
	}
	if err := CheckDistribution(n.Distribution); err != nil {
		return b, err
	}
	if n.Version.IsZero() {
		return b, fmt.Errorf("cannot write the name of a release of %q: version is missing", n.Distribution)
	}
	out := append(append(b, '/'), n.Distribution...)
	out = append(out, '/')
	out = n.Version.append(out)
	if n.Variant == 0 {
		return out, nil
	}
	out, err := n.Variant.AppendText(append(out, '/'))
	if err != nil {
		return b, err
	}
	return out, nil
}

// MarshalText returns what [Name.AppendText] appends.
func (n Name) MarshalText() ([]byte, error) { return n.AppendText(nil) }

// UnmarshalText parses what [Name.MarshalText] returns; an empty text is the
// zero Name. If it fails, n is unchanged.
func (n *Name) UnmarshalText(text []byte) error { return unmarshal(n, text, ParseName) }
