package version

import "strings"

// A Range is a set of versions that a person wrote down, such as
// ">=7.12.100 <8.00.000". It is the versions from one bound to another, and
// tells whether betas are wanted (R7). The zero Range holds every release and
// no beta. Ranges are comparable, as texts: two ways to write the same range
// are not equal.
type Range struct {
	text     string
	from, to Version // both included; a zero bound is none
	betas    bool
}

// ParseRange reads a range: clauses with blanks between them, all of which must
// hold.
//
//	range    = clause { blanks clause }
//	clause   = [ operator ] bound | wildcard | "beta"
//	operator = "=" | ">" | ">=" | "<" | "<="
//	wildcard = X ".x" | X "." YY ".x"
//	bound    = as a version, but YY may be 00 and ZZZ may be 000
//
// A bound without an operator means that very version, and 7.12.x means all of
// 7.12. There is no version 8.00.000, but as a bound it parts what comes before
// 8 from what comes after; with "=" or alone it is an error. Blanks may stand
// between operator and bound.
//
// Betas are in a range only if it mentions betas, in a bound
// (">=7.12.100-beta") or by the word "beta" ("7.12.x beta"). By the order of
// versions the betas of 8.01.100 lie before it, so "<8.01.100 beta" holds them
// and "<8.00.000 beta" holds no beta of 8.
//
// Clauses that exclude each other, as in ">8.00.000 <7.00.000", are an error.
// All errors are a [*ParseError].
func ParseRange(s string) (Range, error) {
	r, f := scanRange(s)
	if !f.ok() {
		return Range{}, f.error(s, asRange)
	}
	return r, nil
}

// MustParseRange is [ParseRange] for constants in a program's text: it panics
// if s is not a range.
func MustParseRange(s string) Range {
	r, err := ParseRange(s)
	if err != nil {
		panic(err)
	}
	return r
}

const blanks = " \t"

func scanRange(s string) (Range, fault) {
	r := Range{text: s}
	i := skipBlanks(s, 0)
	if i == len(s) {
		return Range{}, fault{0, partBound, "is missing; write a range such as >=7.12.100 or 7.12.x"}
	}
	for ; i < len(s); i = skipBlanks(s, i) {
		op := operator(s[i:])
		start := skipBlanks(s, i+len(op))
		end := len(s)
		if n := strings.IndexAny(s[start:], blanks); n >= 0 {
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
			return Range{}, fault{start, partBound, "excludes everything that the others leave; no version can match"}
		}
		i = end
	}
	return r, fault{}
}

func skipBlanks(s string, i int) int { return len(s) - len(strings.TrimLeft(s[i:], blanks)) }

func operator(s string) string {
	for _, op := range [...]string{">=", "<=", ">", "<", "="} { // longer ones first
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

// clause reads one clause behind its operator: the first and the last version
// that it lets through, zero where it sets no such bound.
func clause(op, s string) (from, to Version, betas bool, f fault) {
	if s == "beta" && op == "" {
		return Version{}, Version{}, true, fault{}
	}
	if prefix, found := strings.CutSuffix(s, ".x"); found {
		if op != "" {
			return Version{}, Version{}, false, fault{len(prefix) + 1, partBound, "is a wildcard, which takes no operator; write 7.12.x alone, or a bound such as >=7.12.000"}
		}
		from, to, f = wildcard(prefix)
		return from, to, false, f
	}
	at, f := scan(s, bound)
	if !f.ok() {
		if strings.HasSuffix(s, ".х") { // Cyrillic, and looks the same
			f = fault{len(s) - len("х"), partBound, "ends with a Cyrillic letter; write 7.12.x with a Latin x"}
		}
		return Version{}, Version{}, false, f
	}
	// The words next to a bound are no versions at times, but in the order of
	// words they lie where no version does.
	switch op {
	case ">=":
		from = at
	case ">":
		if at.packed == 1<<64-1 {
			return Version{}, Version{}, false, fault{0, partBound, "is the largest version possible; none lies above it"}
		}
		from = Version{at.packed + 1}
	case "<=":
		to = at
	case "<":
		to = Version{at.packed - 1}
	default:
		if at.YY() == 0 || at.ZZZ() == 0 {
			return Version{}, Version{}, false, fault{0, partBound, "is no version, only a bound; write an operator before it, or 7.12.x for a whole month"}
		}
		from, to = at, at
	}
	return from, to, at.IsBeta(), fault{}
}

// wildcard reads what stands before the ".x".
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
		return Version{}, Version{}, fault{i, partYY, "is followed by a wildcard in the wrong place; write 7.x or 7.12.x"}
	}
	return pack(x, yy, 0, 0), pack(x, yy, most, release), fault{}
}
