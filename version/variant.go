package version

import "fmt"

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

// parseVariant parses "Setup" or "FullSetup", in exactly this spelling.
func parseVariant(s string) (Variant, error) {
	switch s {
	case "Setup":
		return Setup, nil
	case "FullSetup":
		return FullSetup, nil
	}
	return 0, fault{0, partVariant, "is not Setup or FullSetup"}.error(opVariant, s)
}

// String returns the variant as the vendor spells it, and "no variant" for the
// zero Variant.
func (v Variant) String() string {
	switch v {
	case 0:
		return "no variant"
	case Setup:
		return "Setup"
	case FullSetup:
		return "FullSetup"
	}
	return fmt.Sprintf("invalid variant %d", uint8(v))
}

// AppendText appends the variant as the vendor spells it, and nothing for the
// zero Variant. A value other than the declared ones is an error.
func (v Variant) AppendText(b []byte) ([]byte, error) {
	switch v {
	case 0:
		return b, nil
	case Setup, FullSetup:
		return append(b, v.String()...), nil
	}
	return b, fmt.Errorf("cannot write %v; use Setup or FullSetup", v)
}

// MarshalText returns what [Variant.AppendText] appends.
func (v Variant) MarshalText() ([]byte, error) { return v.AppendText(nil) }

// UnmarshalText parses "Setup" or "FullSetup"; an empty text is the zero
// Variant. If it fails, v is unchanged.
func (v *Variant) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*v = 0
		return nil
	}
	w, err := parseVariant(string(text))
	if err != nil {
		return err
	}
	*v = w
	return nil
}
