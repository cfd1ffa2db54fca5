// Package authenticode tells on any platform who signed a Windows installer
// and whether it is still as it was signed: a program (PE) or an MSI package.
//
// # Words
//
// A vendor signs the hash of a file with the key of a certificate and puts
// the signature (Authenticode) into the file. The certificate names its
// publisher and leads, over certificates that are in the file as well, to a
// root that one trusts or not. It is valid for a year or three. A time stamp
// is the word of an authority for time that it saw the signature; with one
// that is trusted the signature counts as of that time, and outlives its
// certificate. A thumbprint is the hash of a certificate.
//
// # Use
//
// A [Policy] says whose signature is wanted. Anybody can buy one, so there is
// no policy without a publisher or a thumbprint:
//
//	p := authenticode.Policy{Publisher: "ООО «Вендор»", Roots: roots}
//	sig, err := p.VerifyFile(ctx, path)
//
// A refusal is an [Error] whose reason is one of [ErrUnsigned],
// [ErrTampered], [ErrExpired], [ErrUntrusted] and [ErrOtherPublisher]. The
// example shows the few lines that make a Policy a Verifier of package fetch.
//
// The thumbprint of the certificate is the narrower pin: it needs no root,
// and it ends with the certificate, when the vendor has another one. The
// publisher's name lives longer and is worth what the roots are worth.
//
// # What is refused
//
// More than Windows refuses. Everything of a program but its checksum and the
// signature's own place is under the signature, and behind the signature may
// be nothing: Windows allows data there (CVE-2013-3900). In the signature may
// be no attribute that is neither signed, nor a time stamp, nor a further
// signature. An MSI may have no data behind its last sector (CVE-2020-1464).
// Hashes weaker than SHA-256 are refused; a program whose first signature is
// one with SHA-1, as for old Windows, needs a second one. A damaged time stamp
// refuses the file; one by an unknown authority is as good as none.
//
// # Limits
//
// Only what is signed is vouched for, as what it is: a program or a package.
// It says nothing of files beside it, so of a folder verify every program in
// it, or pin the folder's hash. Do not hand a verified file to an interpreter
// that would read it as something else, such as java -jar.
//
// Without its second hash (MsiDigitalSignatureEx) the signature of an MSI is
// over the contents of its streams and not over their names, sizes and times.
// That is the format's weakness, and Windows' too. Nothing signs the unused
// ends of an MSI's sectors, nor certificates in the signature that its chain
// does not need.
//
// Revocation (CRL, OCSP) is not looked up: the machines are on premises,
// often without a way out, and an answer that an attacker can withhold
// decides nothing. Drop the pin when the vendor reports a stolen key. Signatures
// in catalogs (.cat), cabinets and scripts are not read, nor several side by
// side in one program, as firmware has them; nested ones are.
//
// A file is read while it is verified. The caller sees to it that the bytes
// that run are those, as packages fetch and install do by their SHA-256.
package authenticode
