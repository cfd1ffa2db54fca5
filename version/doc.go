// Package version parses, prints and orders the vendor's release numbers (R2),
// such as 7.04.100, and the names of releases, such as /АСП/7.04.100.
//
// # Grammar
//
//	version = X "." YY "." ZZZ [ "-beta" [ "." N ] ]
//	name    = "/" distribution "/" version [ "/" variant ]
//	variant = "Setup" | "FullSetup"
//
// X is the global version, YY the month within it, ZZZ the release within the
// month. X has at least one digit, YY at least two, ZZZ at least three; each is
// at least 1 and at most 65535, and has leading zeros only up to this width.
// N is at least 1 and has no leading zero. Digits are ASCII.
//
// So 7.04.100, 7.12.1000 and 10.101.001-beta.2 are versions, while 7.4.100,
// 07.04.100, 7.004.100, 7.00.100 and 7.04.000 are not. What [Parse] accepts is
// printed byte for byte as it was read: a release called 7.04.100 is never
// shown, stored or requested as 7.4.100. For what people type there is
// [ParseLoose], which ignores spaces around it and missing or extra zeros.
//
// # Order
//
// Versions are ordered by X, YY and ZZZ as numbers. The betas of a number come
// before its release: 7.04.100-beta, -beta.1, -beta.2, -beta.10, 7.04.100.
// R2 counts ZZZ in steps of 100, but R6 allows versions in between, which look
// the same: every step is accepted.
//
// # Values
//
// A [Version] is one 64-bit word. It is comparable, so that v == w exactly where
// v.Compare(w) is 0, can be a map key, and is sorted by
//
//	slices.SortFunc(versions, version.Version.Compare)
//
// Its zero value means "no version": it sorts first, its text form is empty and
// it prints as "invalid version". Versions survive JSON, SQL, flags and all that
// uses [encoding.TextMarshaler] byte for byte, names survive text and JSON.
//
// A [Range] such as ">=7.12.100 <8.00.000" selects versions, and [Range.Why]
// says why it does not select one.
//
// Only [MustParse] and [MustParseRange], which are for constants, can panic.
// Everything is safe for concurrent use, except the methods that write to their
// receiver: UnmarshalText, Scan and Set.
package version
