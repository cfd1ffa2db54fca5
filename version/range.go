package version

import "strings"

// A Range is a set of versions, such as ">=7.12.100 <8.00.000": those from one
// bound to another, with or without betas (R7). The zero Range contains every
// release and no beta. Ranges are comparable, as texts: two ways to write the
// same range are not equal.
type Range struct {
	text     string
	from, to Version // both included; a zero bound is none
	betas    bool
}

// ParseRange parses a range: clauses separated by spaces or tabs, all of which
// must hold.
//
//	range    = clause { spaces clause }
//	clause   = [ operator ] bound | wildcard | "beta"
//	operator = "=" | ">" | ">=" | "<" | "<="
//	wildcard = X ".x" | X "." YY ".x"
//	bound    = as a version, but YY may be 00 and ZZZ may be 000
//
// A bound without an operator means exactly this version, and 7.12.x means all
// of 7.12. 8.00.000 is not a version, but as a bound it separates 8 from what
// comes before; with "=" or alone it is an error. Spaces are allowed between
// operator and bound.
//
// A range contains betas only if it mentions betas, in a bound
// (">=7.12.100-beta") or by the word "beta" ("7.12.x beta"). The betas of
// 8.01.100 come before it, so "<8.01.100 beta" contains them, and
// "<8.00.000 beta" contains no beta of 8.
//
// Clauses that exclude each other, as in ">8.00.000 <7.00.000", are an error.
// The error is an [*Error].
func ParseRange(s string) (Range, error) {
	r, f := scanRange(s)
	if !f.ok() {
		return Range{}, f.error(opRange, s)
	}
	return r, nil
}

// MustParseRange is [ParseRange] for constants in source code: it panics if s is
// not a range.
func MustParseRange(s string) Range { return must(ParseRange(s)) }

const spaces = " \t"

func scanRange(s string) (Range, fault) {
	r := Range{text: s}
	i := skipSpaces(s, 0)
	if i == len(s) {
		return Range{}, fault{0, partBound, "is missing; write a range such as >=7.12.100 or 7.12.x"}
	}
	for ; i < len(s); i = skipSpaces(s, i) {
		op := operator(s[i:])
		start := skipSpaces(s, i+len(op))
		end := len(s)
		if n := strings.IndexAny(s[start:], spaces); n >= 0 {
			end = start + n
		}
		from, to, betas, f := clause(op, s[start:end])
		if !f.ok() {
			return Range{}, f.in(start)
		}
		r.betas = r.betas || betas
		if r.from.Compare(from) < 0 {
			r.from = from
		}
		if !to.IsZero() && (r.to.IsZero() || to.Compare(r.to) < 0) {
			r.to = to
		}
		if !r.to.IsZero() && r.to.Compare(r.from) < 0 {
			return Range{}, fault{start, partBound, "leaves no version that the other clauses allow"}
		}
		i = end
	}
	return r, fault{}
}

func skipSpaces(s string, i int) int { return len(s) - len(strings.TrimLeft(s[i:], spaces)) }

func operator(s string) string {
	for _, op := range [...]string{">=", "<=", ">", "<", "="} { // longer ones first
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

// clause parses one clause after its operator: the first and the last version
// that it allows, zero where it has no such bound.
func clause(op, s string) (from, to Version, betas bool, f fault) {
	if s == "beta" && op == "" {
		return Version{}, Version{}, true, fault{}
	}
	if prefix, found := strings.CutSuffix(s, ".x"); found {
		if op != "" {
			return Version{}, Version{}, false, fault{len(prefix) + 1, partBound, "is a wildcard after an operator; write 7.12.x alone, or a bound such as >=7.12.000"}
		}
		from, to, f = wildcard(prefix)
		return from, to, false, f
	}
	at, f := scan(s, bound)
	if !f.ok() {
		if strings.HasSuffix(s, ".х") { // Cyrillic; it looks the same
			f = fault{len(s) - len("х"), partBound, "ends with a Cyrillic letter; write 7.12.x with a Latin x"}
		}
		return Version{}, Version{}, false, f
	}
	// The packed words next to a bound may not be versions, but no version is
	// between them and the bound.
	switch op {
	case ">=":
		from = at
	case ">":
		if at.packed == 1<<64-1 {
			return Version{}, Version{}, false, fault{0, partBound, "is the largest version possible"}
		}
		from = Version{at.packed + 1}
	case "<=":
		to = at
	case "<":
		to = Version{at.packed - 1}
	default:
		if at.YY() == 0 || at.ZZZ() == 0 {
			return Version{}, Version{}, false, fault{0, partBound, "is a bound but not a version; write an operator before it, or 7.12.x for a whole month"}
		}
		from, to = at, at
	}
	return from, to, at.IsBeta(), fault{}
}

// wildcard parses what precedes the ".x".
func wildcard(prefix string) (from, to Version, f fault) {
	x, i, f := field(prefix, 0, 1, partX, strict)
	if !f.ok() {
		return Version{}, Version{}, f
	}
	if i == len(prefix) {
		return pack(x, 0, 0, 0), pack(x, most, most, release), fault{}
	}
	if f = dot(prefix, i, partX, partYY); !f.ok() {
		return Version{}, Version{}, f
	}
	yy, i, f := field(prefix, i+1, 2, partYY, strict)
	switch {
	case !f.ok():
		return Version{}, Version{}, f
	case i < len(prefix) && prefix[i] != '.':
		return Version{}, Version{}, fault{i, partYY, isNoNumber}
	case i < len(prefix):
		return Version{}, Version{}, fault{i, partYY, "is followed by a misplaced wildcard; write 7.x or 7.12.x"}
	}
	return pack(x, yy, 0, 0), pack(x, yy, most, release), fault{}
}

// The reasons why a version is not in a range.
const (
	noVersion    = "is not a version"
	below        = "is below the range"
	above        = "is above the range"
	unwantedBeta = `is left out: it is a beta, and the range does not mention betas (add the word "beta" to it)`
)

// Contains reports whether v is in r. No range contains the zero Version.
func (r Range) Contains(v Version) bool { return r.Why(v) == "" }

// Why returns "" if v is in r, and otherwise why not, in words that follow a
// version in a message. A filter can thus show the betas that it left out.
func (r Range) Why(v Version) string {
	switch {
	case v.IsZero():
		return noVersion
	case v.Compare(r.from) < 0:
		return below
	case !r.to.IsZero() && v.Compare(r.to) > 0:
		return above
	case v.IsBeta() && !r.betas:
		return unwantedBeta
	}
	return ""
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
func (r *Range) UnmarshalText(text []byte) error { return unmarshal(r, text, ParseRange) }
