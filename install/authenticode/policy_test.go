package authenticode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
	"github.com/stretchr/testify/require"
)

func verify(t testing.TB, p Policy, b []byte) (Signature, error) {
	t.Helper()
	return p.verify(t.Context(), bytes.NewReader(b), int64(len(b)))
}

func TestPolicies(t *testing.T) {
	s := newSite(t)
	path := s.sign(t, s.leaf, write(t, "a.exe", program(true)))
	thumb := thumbprint(s.leaf.cert)
	other := strings.Repeat("ab", 32)
	for _, c := range []struct {
		name   string
		policy Policy
		want   error
	}{
		{"organization", Policy{Publisher: "ООО Vendor", Roots: s.root.alone()}, nil},
		{"common name", Policy{Publisher: "Vendor", Roots: s.root.alone()}, nil},
		{"part of a name", Policy{Publisher: "ООО", Roots: s.root.alone()}, errOtherPublisher},
		{"other case", Policy{Publisher: "vendor", Roots: s.root.alone()}, errOtherPublisher},
		{"another's name", Policy{Publisher: "ООО Other", Roots: s.root.alone()}, errOtherPublisher},
		{"the system's roots", Policy{Publisher: "ООО Vendor"}, ErrUntrusted},
		{"another root", Policy{Publisher: "ООО Vendor", Roots: s.timeRoot.alone()}, ErrUntrusted},
		{"name and issuer", Policy{Publisher: "Vendor", Issuer: "ООО Test Root", Roots: s.root.alone()}, nil},
		{"name and another issuer", Policy{Publisher: "Vendor", Issuer: "Time Root", Roots: s.root.alone()}, errOtherPublisher},
		{"thumbprint, no root", Policy{Thumbprint: thumb}, nil},
		{"thumbprint in capitals", Policy{Thumbprint: strings.ToUpper(thumb)}, nil},
		{"thumbprint and name", Policy{Thumbprint: thumb, Publisher: "Vendor"}, nil},
		{"thumbprint and another's name", Policy{Thumbprint: thumb, Publisher: "Other"}, errOtherPublisher},
		{"name and another's thumbprint", Policy{Thumbprint: other, Publisher: "Vendor", Roots: s.root.alone()}, errOtherPublisher},
		{"thumbprint of the root", Policy{Thumbprint: thumbprint(s.root.cert), Roots: s.root.alone()}, errOtherPublisher},
		{"thumbprint, expired", Policy{Thumbprint: thumb, now: func() time.Time { return time.Now().AddDate(1, 0, 0) }}, errExpired},
		{"thumbprint, not yet valid", Policy{Thumbprint: thumb, now: func() time.Time { return time.Now().AddDate(-1, 0, 0) }}, errExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.policy.VerifyFile(t.Context(), path)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.NotEmpty(t, e.Next)
				require.Equal(t, path, e.Subject)
				return
			}
			require.NoError(t, err)
			require.Equal(t, thumb, thumbprint(got.certificate))
			require.Equal(t, `Authenticode signature by "ООО Vendor", certificate `+thumb+` of "ООО Test Root"`, got.String())
		})
	}
}

func TestPolicyWithoutASignerIsRefused(t *testing.T) {
	for _, p := range []Policy{{}, {Thumbprint: "12"}, {Thumbprint: strings.Repeat("z", 64)}, {Publisher: "x", Thumbprint: "sha256:"}} {
		require.Error(t, p.Check())
		_, err := verify(t, p, program(true))
		require.EqualError(t, err, p.Check().Error())
	}
	require.NoError(t, Policy{Publisher: "x"}.Check())
}

func TestUnreadableFilesAreErrorsAndNoRefusals(t *testing.T) {
	p := Policy{Publisher: "x"}
	for _, path := range []string{t.TempDir(), t.TempDir() + "/nothing"} {
		_, err := p.VerifyFile(t.Context(), path)
		require.Error(t, err)
		require.NotErrorAs(t, err, new(*Error))
	}
	s := newSite(t)
	path := s.sign(t, s.leaf, write(t, "a.exe", program(true)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.policy(time.Now()).VerifyFile(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorAs(t, err, new(*Error))
	f, err := os.Open(path)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = s.policy(time.Now()).verify(t.Context(), f, 20000)
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestOneOfSeveralSignaturesIsEnough(t *testing.T) {
	s := newSite(t)
	other := issue(t, "Other", &s.root, coder)
	plain := write(t, "a.exe", program(true))
	nest := func(first string) string { return s.sign(t, s.leaf, first, "-nest", "-ts", s.tsa) }
	for name, path := range map[string]string{
		"after one with SHA-1":    nest(s.sign(t, s.leaf, plain, "-h", "sha1")),
		"after one by another":    nest(s.sign(t, other, plain)),
		"before one by another":   s.sign(t, other, s.sign(t, s.leaf, plain), "-nest"),
		"after a few by another":  nest(s.sign(t, other, s.sign(t, other, plain), "-nest")),
		"both the wanted one's":   nest(s.sign(t, s.leaf, plain)),
		"with SHA-512 after that": s.sign(t, s.leaf, s.sign(t, other, plain), "-nest", "-h", "sha512"),
	} {
		got, err := s.policy(time.Now()).VerifyFile(t.Context(), path)
		require.NoError(t, err, name)
		require.Equal(t, "ООО Vendor", got.publisher(), name)
		theirs, said := s.theirs(t, path, time.Now())
		require.True(t, theirs, "%s: %s", name, said)
	}
	_, err := s.policy(time.Now()).VerifyFile(t.Context(), s.sign(t, other, s.sign(t, other, plain), "-nest"))
	require.ErrorIs(t, err, errOtherPublisher)

	many := s.sign(t, other, plain)
	for range maxSignatures {
		many = s.sign(t, s.leaf, many, "-nest")
	}
	_, err = s.policy(time.Now()).VerifyFile(t.Context(), many)
	require.ErrorIs(t, err, ErrMismatch)
}

// The signature covers the whole program but four bytes that Windows
// does not check.
func TestEveryByteOfAProgramIsSigned(t *testing.T) {
	s := newSite(t)
	for _, wide := range []bool{false, true} {
		signed := read(t, s.sign(t, s.leaf, write(t, "a.exe", program(wide))))
		p, _, err := readPE(&reader{bytes.NewReader(signed), int64(len(signed))})
		require.NoError(t, err)
		for i := range int(p.table) {
			_, err := verify(t, s.policy(time.Now()), flipped(signed, i))
			if int64(i) >= p.checksum && int64(i) < p.checksum+4 {
				require.NoError(t, err)
			} else {
				require.ErrorAs(t, err, new(*Error), "byte %d", i)
			}
		}
	}
}

func TestDataBesideTheSignatureIsRefused(t *testing.T) {
	s := newSite(t)
	le := binary.LittleEndian
	program := read(t, s.sign(t, s.leaf, write(t, "a.exe", program(true))))
	pe, _, err := readPE(&reader{bytes.NewReader(program), int64(len(program))})
	require.NoError(t, err)
	grown := func(more []byte, entry bool) []byte {
		b := append(bytes.Clone(program), more...)
		le.PutUint32(b[pe.pointer+4:], uint32(int64(len(b))-pe.table))
		if entry {
			le.PutUint32(b[pe.table:], uint32(int64(len(b))-pe.table))
		}
		return b
	}
	pkg := read(t, s.sign(t, s.leaf, installer(t)))
	for name, b := range map[string][]byte{
		"behind a program":                           append(bytes.Clone(program), "PK\x03\x04"...),
		"zeros behind a program":                     append(bytes.Clone(program), make([]byte, 8)...),
		"in the table, behind the entry":             grown(noise(64), false),
		"in the entry, behind the signature":         grown(noise(64), true),
		"zeros in the entry":                         grown(make([]byte, 64), true),
		"a second entry":                             grown(program[pe.table:], false),
		"in the padding of eight":                    grown([]byte{1}, true),
		"behind a package":                           append(bytes.Clone(pkg), noise(700)...),
		"behind a package, one byte":                 append(bytes.Clone(pkg), 0),
		"the signature of another file":              slices.Concat(flipped(program, 0x500)[:pe.table], program[pe.table:]),
		"a program cut off":                          program[:len(program)-1],
		"a package cut off":                          pkg[:len(pkg)-600],
		"a program cut off before the table":         program[:pe.table],
		"a program cut off in its header":            program[:0x90],
		"a package cut off in its header":            pkg[:100],
		"a package with a sector's size of its own":  set(pkg, 30, 28),
		"a package with a table in a circle":         set(pkg, 68, 1),
		"a package with its directory out of bounds": set(set(pkg, 48, 0xff), 50, 0x7f),
	} {
		_, err := verify(t, s.policy(time.Now()), b)
		require.ErrorIs(t, err, ErrMismatch, name)
	}
}

func set(b []byte, i int, v byte) []byte {
	c := bytes.Clone(b)
	c[i] = v
	return c
}

// A program's signature is none of a package, even with the right hash.
func TestASignatureIsForOneFormat(t *testing.T) {
	s := newSite(t)
	signed := read(t, s.sign(t, s.leaf, write(t, "a.exe", program(true))))
	pe, der, err := readPE(&reader{bytes.NewReader(signed), int64(len(signed))})
	require.NoError(t, err)
	all, err := unpack(der)
	require.NoError(t, err)
	_, err = check(t.Context(), all[0], oidPE, pe.digest)
	require.NoError(t, err)
	_, err = check(t.Context(), all[0], oidMSI, pe.digest)
	require.ErrorIs(t, err, ErrMismatch)
}

func TestOtherFilesAreNotSigned(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": nil, "text": []byte("#!/bin/sh\nexit 0\n"), "short": []byte("MZ"), "DOS": append([]byte("MZ"), make([]byte, 200)...),
	} {
		_, err := verify(t, Policy{Publisher: "x"}, b)
		require.ErrorAs(t, err, new(*Error), name)
		if name != "short" {
			require.ErrorIs(t, err, ErrUnsigned, name)
		}
	}
}

// The decoder of time stamps reads the first byte of an empty one.
func TestAnEmptyTimeStampIsRefused(t *testing.T) {
	s := newSite(t)
	signed := read(t, s.sign(t, s.leaf, write(t, "a.exe", program(true))))
	pe, der, err := readPE(&reader{bytes.NewReader(signed), int64(len(signed))})
	require.NoError(t, err)
	all, err := unpack(der)
	require.NoError(t, err)
	token := *all[0]
	token.Content.ContentInfo, err = pkcs7.NewContentInfo(pkcs9.OidTSTInfo, nil)
	require.NoError(t, err)
	si := &all[0].Content.SignerInfos[0]
	require.NoError(t, si.UnauthenticatedAttributes.Add(pkcs9.OidAttributeTimeStampToken, token))
	_, err = check(t.Context(), all[0], oidPE, pe.digest)
	require.ErrorIs(t, err, ErrMismatch)
	require.ErrorContains(t, err, "malformed")
}

// Whatever the bytes are, the answer is a refusal: no panic, no endless
// loop, and no allocation of what the file claims to need.
func FuzzVerify(f *testing.F) {
	s := newSite(f)
	exe := write(f, "a.exe", program(false))
	pkg := installer(f)
	for _, path := range []string{
		exe, pkg, s.sign(f, s.leaf, exe, "-ts", s.tsa), s.sign(f, s.leaf, exe, "-ph"), s.sign(f, s.leaf, pkg, "-add-msi-dse", "-ts", s.tsa),
	} {
		f.Add(read(f, path))
	}
	p := s.policy(time.Now())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := verify(t, p, b)
		if err != nil {
			require.ErrorAs(t, err, new(*Error))
		}
	})
}
