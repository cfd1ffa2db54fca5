// Package authenticode verifies on any platform who signed a Windows installer,
// a program (PE) or an MSI package, and that it was not changed since.
//
// # Terms
//
// A vendor signs the hash of a file with the key of a certificate and puts the
// signature (Authenticode) into the file. The certificate names its publisher
// and leads, over other certificates in the file, to a root that is trusted or
// not. It is valid for one to three years. A time stamp is the statement of an
// authority for time that it saw the signature; with a trusted one the
// signature counts as of that time, and outlives its certificate. A thumbprint
// is the hash of a certificate.
//
// # Use
//
// A [Policy] names the expected signer. Anyone can buy a signature, so a policy
// needs a publisher or a thumbprint:
//
//	p := authenticode.Policy{Publisher: "ООО «Вендор»", Roots: roots}
//	sig, err := p.VerifyFile(ctx, path)
//
// A file is refused by an [Error] that wraps one of [ErrUnsigned],
// [ErrMismatch], [ErrExpired], [ErrUntrusted] and [ErrOtherPublisher]. The
// example makes a Policy a Verifier of package archive.
//
// The thumbprint of the certificate is the narrower pin: it needs no root, and
// it is useless once the vendor has another certificate. The publisher's name
// lasts longer and is as reliable as the roots.
//
// # What is refused
//
// This package refuses more than Windows does. The signature covers everything in a program
// except its checksum and the place of the signature itself, and no data may
// follow the signature, which Windows allows (CVE-2013-3900). The signature may
// contain no attribute that is neither signed, nor a time stamp, nor another
// signature. No data may follow the last sector of an MSI (CVE-2020-1464).
// Hashes weaker than SHA-256 are refused; a program whose first signature has
// SHA-1, as for old Windows, needs a second one. A file with a damaged time
// stamp is refused; a time stamp by an unknown authority is ignored.
//
// # Limits
//
// A signature vouches for the program or package alone, not for files beside
// it: in a directory verify every program, or pin the directory's hash. Do not
// pass a verified file to an interpreter that reads it as something else, such
// as java -jar.
//
// Without its second hash (MsiDigitalSignatureEx) the signature of an MSI
// covers the contents of its streams and not their names, sizes and times.
// That is a weakness of the format, and Windows has it, too. The signature does
// not cover the unused ends of an MSI's sectors, nor certificates that its chain
// does not need.
//
// Revocation (CRL, OCSP) is not checked: the machines often have no connection
// to the Internet, and an attacker can withhold the answer. Remove the pin when
// the vendor reports a stolen key. Signatures in catalogs (.cat), cabinets and
// scripts are not read, nor several side by side in one program, as firmware has
// them; nested ones are.
//
// A file is read while it is verified. The caller ensures that the same bytes
// run, as packages archive and install do by their SHA-256.
package authenticode
