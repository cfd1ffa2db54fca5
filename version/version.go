package version

import (
	"cmp"
	"fmt"
	"strings"
)

// A Version is a release number of the vendor's software (R2), or a beta of
// one (R7). Versions are values: compare them with == or [Version.Compare].
// The zero Version means "no version".
type Version struct {
	// From the top: X, YY, ZZZ and the beta mark, 16 bits each, so that the
	// order of the words is the order of the versions.
	packed uint64
}

// most is the largest value that X, YY and ZZZ can have.
const most = 1<<16 - 1

// The lowest 16 bits of a packed version. A plain -beta is 0, -beta.N is N, and
// a release is above all of its betas.
const (
	release  = 1<<16 - 1
	mostBeta = release - 1
)

func pack(x, yy, zzz, beta uint64) Version {
	return Version{x<<48 | yy<<32 | zzz<<16 | beta}
}

// New returns the release with the given fields, each from 1 to 65535. The
// error is an [*Error] whose Subject is the number as it would be written.
func New(x, yy, zzz int) (Version, error) {
	for i, n := range [...]int{x, yy, zzz} {
		if n < 1 || n > most {
			return Version{}, outOfRange(x, yy, zzz, part(i))
		}
	}
	return pack(uint64(x), uint64(yy), uint64(zzz), release), nil //nolint:gosec // checked above
}

// outOfRange formats the number so that the error can point into it.
func outOfRange(x, yy, zzz int, p part) error {
	texts := [...]string{fmt.Sprintf("%d", x), fmt.Sprintf("%02d", yy), fmt.Sprintf("%03d", zzz)}
	offset := 0
	for _, before := range texts[:p] {
		offset += len(before) + len(".")
	}
	return fault{offset, p, "is not from 1 to 65535"}.error(opVersion, strings.Join(texts[:], "."))
}

// X returns the global version, which changes with a certification. It is 0 if
// v is zero.
func (v Version) X() int { return int(v.packed >> 48) }

// YY returns the number of the month within X. It is 0 if v is zero. Package
// schedule converts X and YY to a month of the calendar.
func (v Version) YY() int { return int(v.packed >> 32 & most) }

// ZZZ returns the number of the release within its month. It is 0 if v is zero.
func (v Version) ZZZ() int { return int(v.packed >> 16 & most) }

// IsBeta reports whether v is a beta version (R7).
func (v Version) IsBeta() bool { return v.packed&most != release && v.packed != 0 }

// IsZero reports whether v is the zero Version, "no version".
func (v Version) IsZero() bool { return v.packed == 0 }

// Compare returns -1 if v comes before w, 0 if v == w, and +1 if v comes after
// w. The zero Version comes before all others. Its method expression fits
// [slices.SortFunc] and [slices.BinarySearchFunc].
func (v Version) Compare(w Version) int { return cmp.Compare(v.packed, w.packed) }
