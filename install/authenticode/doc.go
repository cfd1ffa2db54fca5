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
// [ErrMismatch] and [ErrUntrusted]. The example makes a Policy a Verifier of
// package archive.
//
// Pin the publisher's name together with the name of the authority that issued
// the certificate: both outlast the certificate. The thumbprint of a certificate
// is the narrower pin, and it is of no use for a publisher who has a new
// certificate for each file: some authorities issue them for three days.
//
// # What is covered
//
// This package refuses more than Windows does. In a program nothing may change
// but the four bytes of its checksum:
//
//   - The signature covers all that precedes it, and nothing may follow it,
//     which Windows allows (CVE-2013-3900).
//   - Of a file with several signatures all are verified: each must have the
//     shape of a signature, its own hash of the file, and trusted roots. One of
//     them must satisfy the policy.
//   - A signature may contain one time stamp, further signatures, and the
//     certificates between its signer or its time stamp and a trusted root. Any
//     other attribute, certificate, list or number is refused: nothing verifies
//     it, so that an attacker may have written it.
//   - A time stamp must be whole and lead to a trusted root. The error names
//     the root that is missing.
//
// A change outranks all else that is wrong: a changed file with an expired
// signature is refused as changed. A signature with a hash weaker than SHA-256
// satisfies no policy; a program whose first signature has SHA-1, as for old
// Windows, needs a second one.
//
// No data may follow the last sector of an MSI (CVE-2020-1464). Its signature
// covers the contents of its streams. It covers their names, sizes and times
// only with a second hash (MsiDigitalSignatureEx), and never the unused ends of
// the sectors: that is a weakness of the format, and Windows has it, too.
//
// # Limits
//
// A signature vouches for the program or package alone, not for files beside
// it: in a directory verify every program, or pin the directory's hash. Do not
// pass a verified file to an interpreter that reads it as something else, such
// as java -jar.
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
