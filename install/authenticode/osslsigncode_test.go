package authenticode

import (
	"crypto/x509"
	"encoding/asn1"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each file is judged by us and by osslsigncode, which is what others use on
// Linux. Where we are stricter the table says so.
func TestAgreesWithOsslsigncode(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	later := now.Add(72 * time.Hour)
	soon := issue(t, "Vendor", &s.root, func(c *x509.Certificate) { coder(c); c.NotAfter = now.Add(24 * time.Hour) })
	past := issue(t, "Vendor", &s.root, func(c *x509.Certificate) { coder(c); c.NotAfter = now.Add(-24 * time.Hour) })
	other := issue(t, "Vendor", nil, root)
	stranger := issue(t, "Vendor", &other, coder)
	web := issue(t, "Vendor", &s.root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	curve := issueFor(t, ecKey(t), "Vendor", &s.root, coder)
	unknownTime := serveTime(t, issue(t, "Unknown Time Root", nil, root))

	for _, file := range []struct {
		name, path string
		format     asn1.ObjectIdentifier
	}{
		{"PE32", write(t, "a.exe", program(false)), oidPE},
		{"PE64", write(t, "a.exe", program(true)), oidPE},
		{"MSI", installer(t), oidMSI},
	} {
		t.Run(file.name, func(t *testing.T) {
			sign := func(by identity, options ...string) string { return s.sign(t, by, file.path, options...) }
			for _, c := range []struct {
				name     string
				path     string
				at       time.Time
				want     error
				stamped  bool
				stricter bool
				says     string
			}{
				{name: "unsigned", path: file.path, want: ErrUnsigned},
				{name: "signed", path: sign(s.leaf)},
				{name: "signed with an elliptic curve", path: sign(curve)},
				{name: "signed with SHA-512", path: sign(s.leaf, "-h", "sha512")},
				{name: "signed with a description", path: sign(s.leaf, "-n", "Product", "-i", "https://vendor.example/")},
				{name: "signed with hashes of its pages", path: sign(s.leaf, "-ph")},
				{name: "time-stamped", path: sign(s.leaf, "-ts", s.tsa), stamped: true},
				{name: "expired since, time-stamped before", path: sign(soon, "-ts", s.tsa), at: later, stamped: true},
				{name: "expired since, not time-stamped", path: sign(soon), at: later, want: errExpired},
				{name: "expired since, time-stamped by an unknown authority", path: sign(soon, "-ts", unknownTime), at: later, want: ErrUntrusted, says: "TimeRoots"},
				{name: "valid, time-stamped by an unknown authority", path: sign(s.leaf, "-ts", unknownTime), want: ErrUntrusted, stricter: true, says: "TimeRoots"},
				{name: "expired, not time-stamped", path: sign(past), want: errExpired},
				{name: "time-stamped after it expired", path: sign(past, "-ts", s.tsa), want: errExpired},
				{name: "unknown root", path: sign(stranger), want: ErrUntrusted},
				{name: "not a certificate for code", path: sign(web), want: ErrUntrusted},
				{name: "SHA-1", path: sign(s.leaf, "-h", "sha1"), want: ErrUntrusted, stricter: true},
				{name: "data in the signature", path: sign(s.leaf, "-addUnauthenticatedBlob"), want: ErrMismatch, stricter: true},
			} {
				t.Run(c.name, func(t *testing.T) {
					at := c.at
					if at.IsZero() {
						at = now
					}
					got, err := s.policy(at).VerifyFile(t.Context(), c.path)
					theirs, said := s.theirs(t, c.path, at)
					if c.stricter {
						require.True(t, theirs, said)
					} else {
						require.Equal(t, theirs, err == nil, "we: %v; osslsigncode: %s", err, said)
					}
					if c.want != nil {
						require.ErrorIs(t, err, c.want)
						require.ErrorContains(t, err, c.path)
						require.ErrorContains(t, err, c.says)
						return
					}
					require.NoError(t, err)
					require.Equal(t, file.format, got.format)
					require.Equal(t, "ООО Vendor", got.publisher())
					require.Equal(t, c.stamped, !got.stamped.IsZero())
				})
			}
		})
	}
}

// Every 997th byte of a file in turn is another one. We are never more
// lenient than osslsigncode, and of a program nothing before its signature
// may change. We are stricter with a damaged time stamp, which osslsigncode
// ignores; which bytes are in it differs with each run.
func TestChangedFilesAreRefusedAsByOsslsigncode(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	msi := installer(t)
	for name, path := range map[string]string{
		"PE":             s.sign(t, s.leaf, write(t, "a.exe", program(true)), "-ts", s.tsa),
		"MSI":            s.sign(t, s.leaf, msi, "-ts", s.tsa),
		"MSI with names": s.sign(t, s.leaf, msi, "-add-msi-dse"),
	} {
		t.Run(name, func(t *testing.T) {
			whole := read(t, path)
			_, err := s.policy(now).VerifyFile(t.Context(), path)
			require.NoError(t, err)
			bad := filepath.Join(t.TempDir(), filepath.Base(path))
			accepted, refused := 0, 0
			for i := 0; i < len(whole); i += 997 {
				require.NoError(t, os.WriteFile(bad, flipped(whole, i), 0o600))
				_, err := s.policy(now).VerifyFile(t.Context(), bad)
				if err != nil {
					require.ErrorAs(t, err, new(*Error))
					refused++
					continue
				}
				accepted++
				theirs, said := s.theirs(t, bad, now)
				require.True(t, theirs, "byte %d: we accept, osslsigncode does not: %s", i, said)
			}
			t.Logf("%d refused; %d accepted by both", refused, accepted)
			require.Greater(t, refused, 3*accepted)
		})
	}
}
