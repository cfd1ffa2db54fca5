package version

import "fmt"

// A Verdict is how a version relates to a [Range].
type Verdict uint8

const (
	// NoVersion is the verdict on the zero Version, which no range contains.
	NoVersion Verdict = iota

	// Inside is the verdict on the versions that the range contains.
	Inside

	// Below is the verdict on versions before the range.
	Below

	// Above is the verdict on versions after the range.
	Above

	// UnwantedBeta is the verdict on betas between the range's bounds, which are
	// left out only because the range does not mention betas.
	UnwantedBeta
)

// String returns words that follow a version in a message:
// "7.12.100-beta is left out: ...".
func (d Verdict) String() string {
	switch d {
	case NoVersion:
		return "is not a version"
	case Inside:
		return "is inside the range"
	case Below:
		return "is below the range"
	case Above:
		return "is above the range"
	case UnwantedBeta:
		return `is left out: it is a beta, and the range does not mention betas (add the word "beta" to it)`
	}
	return fmt.Sprintf("invalid verdict %d", uint8(d))
}

// Contains reports whether v is in r.
func (r Range) Contains(v Version) bool { return r.Why(v) == Inside }

// Why reports whether v is in r, and if not, why. A filter can thus show the
// betas that it left out.
func (r Range) Why(v Version) Verdict {
	switch {
	case v.IsZero():
		return NoVersion
	case v.Compare(r.from) < 0:
		return Below
	case !r.to.IsZero() && v.Compare(r.to) > 0:
		return Above
	case v.IsBeta() && !r.betas:
		return UnwantedBeta
	}
	return Inside
}

// String returns the text that [ParseRange] parsed, and "any release" for the
// zero Range.
func (r Range) String() string {
	if r == (Range{}) {
		return "any release"
	}
	return r.text
}

// AppendText appends the text that [ParseRange] parsed, and nothing for the zero
// Range. Its error is always nil.
func (r Range) AppendText(b []byte) ([]byte, error) { return append(b, r.text...), nil }

// MarshalText returns what [Range.AppendText] appends. Its error is always nil.
func (r Range) MarshalText() ([]byte, error) { return r.AppendText(nil) }

// UnmarshalText parses text as [ParseRange] does; an empty text is the zero
// Range. If it fails, r is unchanged.
func (r *Range) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Range{}
		return nil
	}
	q, err := ParseRange(string(text))
	if err != nil {
		return err
	}
	*r = q
	return nil
}
