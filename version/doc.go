// Package version reads, prints and orders the vendor's release numbers (R2),
// such as 7.04.100, and the names releases go by, such as /АСП/7.04.100.
//
// # Grammar
//
//	version = X "." YY "." ZZZ [ "-beta" [ "." N ] ]
//	name    = "/" distribution "/" version [ "/" variant ]
//	variant = "Setup" | "FullSetup"
//
// X is the global version, YY the month within it, ZZZ the release within the
// month. X has at least one digit, YY at least two, ZZZ at least three; each is
// at least 1 and at most 65535, and has no more leading zeros than its width
// asks for. N is at least 1 and has no leading zero. Digits are ASCII.
//
// So 7.04.100, 7.12.1000 and 10.101.001-beta.2 are versions, while 7.4.100,
// 07.04.100, 7.004.100, 7.00.100 and 7.04.000 are not. What [Parse] accepts is
// printed byte for byte as it was read: a release called 7.04.100 is never
// shown, stored or asked for as 7.4.100. What people type by hand is read by
// [ParseLoose], which forgives blanks around it and zeros too many or too few.
//
// # Order
//
// Versions are ordered by X, YY and ZZZ as numbers. The betas of a number come
// before its release: 7.04.100-beta, -beta.1, -beta.2, -beta.10, 7.04.100.
// R2 moves ZZZ in steps of 100, but R6 allows versions in between, and nothing
// in a number tells which it is: every step is accepted.
//
// # Values
//
// A [Version] is one 64-bit word: comparable, so that v == w exactly where
// v.Compare(w) is 0; usable as a map key; sorted by
//
//	slices.SortFunc(versions, version.Version.Compare)
//
// Its zero value means "no version": it sorts first, its text form is empty and
// it prints as "invalid version". Versions go through JSON, SQL, flags and
// anything that knows [encoding.TextMarshaler] without losing a byte, names
// through text and JSON.
//
// A [Range] such as ">=7.12.100 <8.00.000" picks versions, and [Range.Why] says
// of each version that it does not pick for what reason.
//
// Nothing in this package panics on any input but [MustParse] and
// [MustParseRange], which are for constants. Everything is safe for concurrent use, but for the methods
// that write to their receiver: UnmarshalText, Scan and Set.
package version
