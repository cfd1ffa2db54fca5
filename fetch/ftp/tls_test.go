package ftp_test

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

func TestFTPOverTLS(t *testing.T) {
	cert, pool := lab.Certificate(t)
	for name, c := range map[string]struct {
		mode ftp.TLS
		max  uint16
	}{
		"explicit 1.2": {ftp.TLSExplicit, tls.VersionTLS12},
		"explicit 1.3": {ftp.TLSExplicit, tls.VersionTLS13},
		"implicit 1.2": {ftp.TLSImplicit, tls.VersionTLS12},
		"implicit 1.3": {ftp.TLSImplicit, tls.VersionTLS13},
	} {
		t.Run(name, func(t *testing.T) {
			serve := func(t *testing.T) (*fetchtest.Server, *ftp.Source) {
				s := fetchtest.New(t)
				s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: c.max}
				s.Implicit = c.mode == ftp.TLSImplicit
				src := lab.Client(s)
				src.TLS, src.TLSConfig = c.mode, &tls.Config{RootCAs: pool}
				return s, src
			}
			fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source {
				s, src := serve(t)
				for path, data := range files {
					s.Put(path, data, lab.Released)
				}
				return src
			})
			s, src := serve(t)
			s.Put(lab.SetupPath, []byte("x"), lab.Released)
			_, err := src.List(t.Context(), "/asp")
			require.NoError(t, err)
			require.Equal(t, 1, s.Resumed(), "servers refuse data connections that do not resume the session")

			src.TLSConfig = nil
			_, err = src.List(t.Context(), "/asp")
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.ErrorContains(t, err, "certificate")
		})
	}
}

func TestFTPServerWithoutTLS(t *testing.T) {
	s := fetchtest.New(t)
	src := lab.Client(s)
	src.TLS = ftp.TLSExplicit
	_, err := src.List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.ErrorContains(t, err, "does not offer this TLS mode")
	for _, c := range s.Commands() {
		require.NotContains(t, c, "USER", "nothing is said in the clear where TLS was asked for")
	}
}
