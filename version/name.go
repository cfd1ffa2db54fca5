package version

import (
	"fmt"
	"strings"
)

// A Name is what a release goes by (R2): /<distribution>/X.YY.ZZZ, with the
// variant behind it where one of the two is meant (R3). Names are comparable.
// The zero Name means "no name".
//
// The bare /<distribution>/Setup of R3 is a place on the vendor's server and
// no Name: it tells no version.
type Name struct {
	Distribution string  // as [CheckDistribution] wants it, such as "АСП"
	Version      Version // never zero
	Variant      Variant // zero if the name does not tell
}

// ParseName reads a name such as /АСП/7.04.100 or /АСП/7.04.100/Setup. The
// version is read as strictly as by [Parse], and the distribution must pass
// [CheckDistribution]. Its error is a [*ParseError]. What it returns prints as s.
func ParseName(s string) (Name, error) {
	rest, found := strings.CutPrefix(s, "/")
	if !found {
		return Name{}, fault{0, partName, "must start with a slash, as in /АСП/7.04.100"}.error(s, asName)
	}
	dist, rest, found := strings.Cut(rest, "/")
	if f := checkDistribution(dist); !f.ok() {
		return Name{}, f.in(1).error(s, asName)
	}
	if !found {
		return Name{}, fault{len(s), partX, "is missing; write /<distribution>/X.YY.ZZZ, as in /АСП/7.04.100"}.error(s, asName)
	}
	number, variant, found := strings.Cut(rest, "/")
	v, f := scan(number, strict)
	if !f.ok() {
		return Name{}, f.in(len(s)-len(rest)).error(s, asName)
	}
	n := Name{Distribution: dist, Version: v}
	if found {
		var err error
		if n.Variant, err = ParseVariant(variant); err != nil {
			return Name{}, fault{len(s) - len(variant), partVariant, "must be Setup or FullSetup"}.error(s, asName)
		}
	}
	return n, nil
}

// String returns n in the form that [ParseName] reads, "no name" for the zero
// Name, and "invalid name" for one that [ParseName] cannot have returned.
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

// AppendText appends n in the form that [ParseName] reads, and nothing for the
// zero Name. It refuses a name without a version or with a distribution that
// [CheckDistribution] refuses, so that whatever is written can be read again.
func (n Name) AppendText(b []byte) ([]byte, error) {
	if n == (Name{}) {
		return b, nil
	}
	if err := CheckDistribution(n.Distribution); err != nil {
		return b, err
	}
	if n.Version.IsZero() {
		return b, fmt.Errorf("cannot write the name of a release of %q: it has no version", n.Distribution)
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

// MarshalText is AppendText for those who need a slice of their own.
func (n Name) MarshalText() ([]byte, error) { return n.AppendText(nil) }

// UnmarshalText reads what [Name.MarshalText] wrote; an empty text is the zero
// Name. If it fails, n stays as it was.
func (n *Name) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*n = Name{}
		return nil
	}
	m, err := ParseName(string(text))
	if err != nil {
		return err
	}
	*n = m
	return nil
}
