package version

import (
	"strings"
	"unicode"
)

// Parse parses a version in its only canonical form, such as 7.04.100 or
// 7.04.100-beta.2. The result prints as s. The error is an [*Error].
func Parse(s string) (Version, error) {
	v, f := scan(s, strict)
	if !f.ok() {
		return Version{}, f.error(opVersion, s)
	}
	return v, nil
}

// ParseLoose parses a version as people type it: like [Parse], but with spaces
// around it, with fewer or more leading zeros (7.4.100, 07.004.0100) and with
// the beta mark in any case. Three fields are still required, since 7.4 could
// be a month as well as a release. The error is an [*Error].
func ParseLoose(s string) (Version, error) {
	text := strings.TrimLeftFunc(s, unicode.IsSpace)
	start := len(s) - len(text)
	v, f := scan(strings.TrimRightFunc(text, unicode.IsSpace), loose)
	if !f.ok() {
		return Version{}, f.in(start).error(opVersion, s)
	}
	return v, nil
}

// MustParse is [Parse] for constants in source code: it panics if s is not a
// version.
func MustParse(s string) Version { return must(Parse(s)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A mode says how much scan accepts beyond the grammar.
type mode uint8

const (
	strict mode = iota // as the grammar says
	loose              // any number of leading zeros, beta in any case
	bound              // YY and ZZZ may be zero: a point between versions, such as 8.00.000
)

// Reasons of faults.
const (
	isMissing   = "is missing; write X.YY.ZZZ, as in 7.04.100"
	isNoNumber  = "is not a number of ASCII digits; write X.YY.ZZZ, as in 7.04.100"
	isShort     = "has too few digits; write at least two for YY and three for ZZZ, as in 7.04.100"
	isPadded    = "has too many leading zeros; write two digits for YY and three for ZZZ, as in 7.04.100"
	isZero      = "is zero; write a number from 1 up"
	isBig       = "is larger than 65535"
	isFollowed  = "is followed by something other than -beta or -beta.N"
	isNoBeta    = "is not -beta or -beta.N; write N from 1 up without leading zeros"
	isBigBeta   = "is larger than 65534"
	isEmptyBeta = "is not a number; write -beta or -beta.N"
)

// scan parses all of s. It allocates nothing.
func scan(s string, m mode) (Version, fault) {
	var n [3]uint64 // X, YY and ZZZ
	i := 0
	for p := range partBeta {
		var f fault
		if p > 0 {
			if f = dot(s, i, p-1, p); !f.ok() {
				return Version{}, f
			}
			i++
		}
		if n[p], i, f = field(s, i, int(p)+1, p, m); !f.ok() {
			return Version{}, f
		}
	}
	if i == len(s) {
		return pack(n[0], n[1], n[2], release), fault{}
	}
	beta, f := scanBeta(s, i, m)
	if !f.ok() {
		return Version{}, f
	}
	return pack(n[0], n[1], n[2], beta), fault{}
}

// dot checks that s[i] is the dot between two fields.
func dot(s string, i int, before, after part) fault {
	switch {
	case i == len(s):
		return fault{i, after, isMissing}
	case s[i] != '.':
		return fault{i, before, isNoNumber}
	}
	return fault{}
}

// field parses one of the three numbers at s[i:] and returns where it ends.
func field(s string, i, width int, p part, m mode) (n uint64, end int, f fault) {
	for end = i; end < len(s); end++ {
		c := s[end] - '0'
		if c > 9 {
			break
		}
		if n = n*10 + uint64(c); n > most {
			return 0, end, fault{i, p, isBig}
		}
	}
	digits := end - i
	if digits == width && n > 0 {
		return n, end, fault{} // the usual case
	}
	switch {
	case digits == 0 && end == len(s):
		f = fault{i, p, isMissing}
	case digits == 0:
		f = fault{i, p, isNoNumber}
	case digits < width && end < len(s) && s[end] != '.' && s[end] != '-':
		f = fault{end, p, isNoNumber}
	case m != loose && digits < width:
		f = fault{i, p, isShort}
	case m != loose && digits > width && s[i] == '0':
		f = fault{i, p, isPadded}
	case n == 0 && (m != bound || width == 1):
		f = fault{i, p, isZero}
	}
	return n, end, f
}

// scanBeta parses s[i:], which can only be the beta mark.
func scanBeta(s string, i int, m mode) (uint64, fault) {
	const mark = "-beta"
	rest := s[i:]
	if rest[0] != '-' {
		return 0, fault{i, partZZZ, isFollowed}
	}
	if len(rest) < len(mark) || rest[:len(mark)] != mark && (m != loose || !strings.EqualFold(rest[:len(mark)], mark)) {
		return 0, fault{i, partBeta, isNoBeta}
	}
	if len(rest) == len(mark) {
		return 0, fault{}
	}
	i += len(mark)
	if s[i] != '.' {
		return 0, fault{i, partBeta, isNoBeta}
	}
	i++
	if i == len(s) || s[i] == '0' && m != loose {
		return 0, fault{i, partBeta, isNoBeta}
	}
	var n uint64
	for j := i; j < len(s); j++ {
		c := s[j] - '0'
		if c > 9 {
			return 0, fault{j, partBeta, isEmptyBeta}
		}
		if n = n*10 + uint64(c); n > mostBeta {
			return 0, fault{i, partBeta, isBigBeta}
		}
	}
	if n == 0 {
		return 0, fault{i, partBeta, isZero}
	}
	return n, fault{}
}
