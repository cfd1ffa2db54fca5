package version

import (
	"strings"
	"unicode"
)

// Parse reads a version in its one canonical form, such as 7.04.100 or
// 7.04.100-beta.2. Its error is a [*ParseError]. What it returns prints as s.
func Parse(s string) (Version, error) {
	v, f := scan(s, strict)
	if !f.ok() {
		return Version{}, f.error(s, asVersion)
	}
	return v, nil
}

// ParseLoose reads a version as people type it: like [Parse], but with
// any blanks around it, with fewer or more leading zeros (7.4.100, 07.004.0100)
// and with the beta mark in any case. It still wants three fields, since 7.4
// could be a month as well as a release. Its error is a [*ParseError].
func ParseLoose(s string) (Version, error) {
	text := strings.TrimLeftFunc(s, unicode.IsSpace)
	start := len(s) - len(text)
	v, f := scan(strings.TrimRightFunc(text, unicode.IsSpace), loose)
	if !f.ok() {
		return Version{}, f.in(start).error(s, asVersion)
	}
	return v, nil
}

// MustParse is [Parse] for constants in a program's text: it panics if s is not
// a version.
func MustParse(s string) Version {
	v, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return v
}

// A mode says how far scan departs from the grammar.
type mode uint8

const (
	strict mode = iota // as the grammar says
	loose              // any number of leading zeros, beta in any case
	bound              // YY and ZZZ may be zero: a point between versions, such as 8.00.000
)

// Reasons continue a sentence that starts with the field's name.
const (
	isMissing   = "is missing; write X.YY.ZZZ, as in 7.04.100"
	isNoNumber  = "must be ASCII digits only; write X.YY.ZZZ, as in 7.04.100"
	isShort     = "has too few digits: YY has at least two and ZZZ at least three, as in 7.04.100"
	isPadded    = "has superfluous leading zeros; write 7.04.100, with YY of two digits and ZZZ of three"
	isZero      = "is zero; numbers start at 1"
	isBig       = "is too large; at most 65535 is possible"
	isFollowed  = "must be the end; nothing but -beta or -beta.N may follow"
	isNoBeta    = "must be written -beta or -beta.N, N from 1 up without leading zeros"
	isBigBeta   = "is too large; at most 65534 is possible"
	isEmptyBeta = "is not a number; write -beta or -beta.N"
)

// scan reads all of s. It allocates nothing.
func scan(s string, m mode) (Version, fault) {
	x, i, f := field(s, 0, 1, partX, m)
	if !f.ok() {
		return Version{}, f
	}
	if f = dot(s, i, partX, partYY); !f.ok() {
		return Version{}, f
	}
	yy, i, f := field(s, i+1, 2, partYY, m)
	if !f.ok() {
		return Version{}, f
	}
	if f = dot(s, i, partYY, partZZZ); !f.ok() {
		return Version{}, f
	}
	zzz, i, f := field(s, i+1, 3, partZZZ, m)
	if !f.ok() {
		return Version{}, f
	}
	if i == len(s) {
		return pack(x, yy, zzz, release), fault{}
	}
	beta, f := scanBeta(s, i, m)
	if !f.ok() {
		return Version{}, f
	}
	return pack(x, yy, zzz, beta), fault{}
}

// dot wants the dot between two fields at s[i].
func dot(s string, i int, before, after part) fault {
	switch {
	case i == len(s):
		return fault{i, after, isMissing}
	case s[i] != '.':
		return fault{i, before, isNoNumber}
	}
	return fault{}
}

// field reads one of the three numbers at s[i:] and returns where it ends.
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
		return n, end, fault{} // nearly always
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

// scanBeta reads the beta mark, which is all that may follow at s[i:].
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
