package version

import (
	"fmt"
	"slices"
)

// A Variant is one of the two forms in which each version is published (R3).
// The zero Variant means that none is named.
type Variant uint8

const (
	_ Variant = iota

	// Setup is the software alone: for every update of an existing installation,
	// and for a rollback (R15).
	Setup

	// FullSetup is the software and the database of the vendor's worked example:
	// for a first installation only.
	FullSetup
)

// variants are spelled as the vendor does.
var variants = []string{0: "", Setup: "Setup", FullSetup: "FullSetup"}

func parseVariant(s string) (Variant, error) {
	if i := slices.Index(variants, s); i > 0 {
		return Variant(i), nil //nolint:gosec // 1 or 2
	}
	return 0, fault{0, partVariant, "is not Setup or FullSetup"}.error(opVariant, s)
}

// String returns the variant as the vendor spells it, and "no variant" for the
// zero Variant.
func (v Variant) String() string {
	switch {
	case v == 0:
		return "no variant"
	case v > FullSetup:
		return fmt.Sprintf("invalid variant %d", uint8(v))
	}
	return variants[v]
}

// AppendText appends the variant as the vendor spells it, and nothing for the
// zero Variant. A value other than the declared ones is an error.
func (v Variant) AppendText(b []byte) ([]byte, error) {
	if v > FullSetup {
		return b, fmt.Errorf("cannot write %v; use Setup or FullSetup", v)
	}
	return append(b, variants[v]...), nil
}

// MarshalText returns what [Variant.AppendText] appends.
func (v Variant) MarshalText() ([]byte, error) { return v.AppendText(nil) }

// UnmarshalText parses "Setup" or "FullSetup"; an empty text is the zero
// Variant. If it fails, v is unchanged.
func (v *Variant) UnmarshalText(text []byte) error { return unmarshal(v, text, parseVariant) }
