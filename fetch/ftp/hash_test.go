package ftp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

var bothCommands = []string{"SIZE", "UTF8", "HASH CRC32;MD5;SHA-1*;SHA-256;SHA-512;", "XSHA256"}

func TestHash(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 4)
	for name, c := range map[string]struct {
		features []string
		replies  map[string]string
		text     string // of the error; empty: none
		code     int
		reason   error
	}{
		"HASH": {bothCommands, map[string]string{
			"OPTS HASH SHA-256":        "200 SHA-256",
			"HASH " + lab.SetupPath:    "213-Computing SHA-256 digest\r\n213 SHA-256 0-300000 " + hash + " " + lab.SetupPath,
			"XSHA256 " + lab.SetupPath: "550 not this one",
		}, "", 0, nil},
		"HASH as in the draft": {[]string{"HASH SHA-256*;SHA-1"}, map[string]string{"HASH": "213 sha-256 0-49 " + strings.ToUpper(hash) + " Setup.exe"}, "", 0, nil},
		"XSHA256": {[]string{"XSHA256 filename;start;end"}, map[string]string{
			"XSHA256 " + lab.SetupPath: "250-Computing SHA256 digest\r\n250 " + strings.ToUpper(hash),
		}, "", 0, nil},
		"XSHA256 as others have it": {[]string{"xsha256"}, map[string]string{"XSHA256": `213 "` + hash + `"`}, "", 0, nil},
		"HASH of other kinds":       {[]string{"HASH SHA-1*;SHA-512", "XSHA256"}, map[string]string{"XSHA256": "250 " + hash}, "", 0, nil},
		"OPTS refused":              {bothCommands, map[string]string{"OPTS HASH SHA-256": "501 no", "XSHA256": "250 " + hash}, "", 0, nil},
		"OPTS UTF8 refused":         {bothCommands, map[string]string{"OPTS UTF8 ON": "500 no", "HASH": "213 SHA-256 0-1 " + hash}, "", 0, nil},

		"neither":           {[]string{"SIZE"}, nil, "computes no SHA-256", 0, errors.ErrUnsupported},
		"no FEAT":           {bothCommands, map[string]string{"FEAT": "502 what?"}, "computes no SHA-256", 0, errors.ErrUnsupported},
		"declined":          {bothCommands, map[string]string{"HASH": "552 too large"}, "replied 552 to HASH", 552, errors.ErrUnsupported},
		"not there":         {bothCommands, map[string]string{"HASH": "550 no such file"}, "550 no such file", 550, fetch.ErrNotFound},
		"a part":            {bothCommands, map[string]string{"HASH": "213 SHA-256 100-300000 " + hash + " Setup.exe"}, "no SHA-256 of the whole file", 213, nil},
		"another kind":      {bothCommands, map[string]string{"HASH": "213 SHA-1 0-300000 " + hash[:40] + " Setup.exe"}, "no SHA-256 of the whole file", 213, nil},
		"two of them":       {[]string{"XSHA256"}, map[string]string{"XSHA256": "250 " + hash + " " + hash}, "no SHA-256 of the whole file", 250, nil},
		"nothing":           {[]string{"XSHA256"}, map[string]string{"XSHA256": "250 done"}, "no SHA-256 of the whole file", 250, nil},
		"password repeated": {[]string{"XSHA256"}, map[string]string{"XSHA256": "250 minemine"}, "XSHA256: xxxxx", 250, nil},
		"wrong password":    {nil, map[string]string{"PASS": "530 no: minemine"}, "check user and password", 530, fetch.ErrCredentials},
		"nonsense":          {bothCommands, map[string]string{"HASH": "what?"}, "", 0, fetch.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Features = c.features
			lab.Replies(s, c.replies)
			src := lab.Client(s)
			src.Password = "minemine"
			got, err := src.Hash(t.Context(), lab.SetupPath)
			if c.text == "" && c.reason == nil {
				require.NoError(t, err)
				require.Equal(t, hash, got)
				require.Contains(t, s.Commands(), "TYPE I")
				lab.NoneLeft(t, s)
				return
			}
			require.Empty(t, got)
			require.ErrorContains(t, err, c.text)
			require.NotContains(t, err.Error(), "mine")
			if c.reason != nil {
				require.ErrorIs(t, err, c.reason)
			}
			e, ok := errors.AsType[*fetch.Error](err)
			require.True(t, ok)
			require.Equal(t, "hash", e.Op)
			require.Equal(t, c.code, e.Code)
			lab.NoneLeft(t, s)
		})
	}
}

// A server that computes no hashes is asked once in the life of a source, and one
// that refuses a file is asked for the next.
func TestHashIsGivenUpOnce(t *testing.T) {
	for reply, want := range map[string]int{"500 what": 1, "502 no": 1, "504 no": 1, "": 1, "552 too large": 3, "550 no": 3} {
		s := fetchtest.New(t)
		if reply != "" {
			s.Features = bothCommands
		}
		lab.Replies(s, map[string]string{"HASH": reply})
		src := lab.Client(s)
		for range 3 {
			_, err := src.Hash(t.Context(), lab.SetupPath)
			require.Error(t, err)
		}
		require.Equal(t, want, lab.Logins(s), reply)
	}
}

func TestHashRetriesWhatIsTemporary(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	s := fetchtest.New(t)
	s.Features = bothCommands
	n := 0
	s.OnCommand(func(verb, _ string) string {
		if verb != "HASH" {
			return ""
		}
		if n++; n < 3 {
			return "450 busy with another"
		}
		return "213 SHA-256 0-9 " + hash + " x"
	})
	got, err := lab.Client(s).Hash(t.Context(), lab.SetupPath)
	require.NoError(t, err)
	require.Equal(t, hash, got)
	require.Equal(t, 3, n)
}

func TestHashOverTLS(t *testing.T) {
	cert, pool := lab.Certificate(t)
	for mode, name := range map[ftp.TLS]string{ftp.TLSExplicit: "explicit", ftp.TLSImplicit: "implicit"} {
		t.Run(name, func(t *testing.T) {
			s, src := secured(t, mode, &tls.Config{Certificates: []tls.Certificate{cert}})
			s.Features = bothCommands
			lab.Replies(s, map[string]string{"HASH": "213 SHA-256 0-9 " + lab.Sum([]byte("installer")) + " x"})
			_, err := src.Hash(t.Context(), lab.SetupPath)
			require.ErrorContains(t, err, "certificate")
			for _, said := range s.Commands() {
				require.Equal(t, "AUTH TLS", said)
			}
			src.TLSConfig = &tls.Config{RootCAs: pool}
			got, err := src.Hash(t.Context(), lab.SetupPath)
			require.NoError(t, err)
			require.Equal(t, lab.Sum([]byte("installer")), got)
		})
	}
}

// TestHashOfHostileNames sends names as they are, and no second command.
func TestHashOfHostileNames(t *testing.T) {
	s := fetchtest.New(t)
	s.Features = []string{"XSHA256"}
	hash := strings.Repeat("ab", 32)
	lab.Replies(s, map[string]string{"XSHA256": "250 " + hash})
	for _, name := range []string{"/asp/\xcc\xee\xe9 Setup.exe", "/asp/Мой Setup.exe ", "/-x", "/100%d"} {
		_, err := lab.Client(s).Hash(t.Context(), name)
		require.NoError(t, err)
		require.Contains(t, s.Commands(), strings.TrimSpace("XSHA256 "+name))
	}
	for _, name := range []string{"/a\r\nDELE b", "/a\nDELE b", "/a\rDELE b", "/a\x00"} {
		_, err := lab.Client(s).Hash(t.Context(), name)
		require.ErrorIs(t, err, fetch.ErrUnsafeName, "%q", name)
	}
	for _, name := range []string{"/asp/Setup 1 2", "/asp/Setup;1;2", `/asp/"Setup"`} {
		_, err := lab.Client(s).Hash(t.Context(), name)
		require.ErrorIs(t, err, errors.ErrUnsupported, "%q could be a part of another file", name)
	}
	for _, said := range s.Commands() {
		require.NotContains(t, said, "DELE")
	}
	src := lab.Client(s)
	src.Password = "x\r\nDELE b"
	_, err := src.Hash(t.Context(), lab.SetupPath)
	require.ErrorIs(t, err, fetch.ErrUnsafeName)
	require.NotContains(t, err.Error(), "DELE")
}

// TestHashTakesTheServerLong waits longer than for anything else, and not
// for ever: twenty times Timeout, though it reports progress.
func TestHashTakesTheServerLong(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	slow := func(t *testing.T, reply func() string) (*ftp.Source, *fetchtest.Server) {
		s := fetchtest.New(t)
		s.Features = bothCommands
		s.OnCommand(func(verb, _ string) string {
			if verb != "HASH" {
				return ""
			}
			return reply()
		})
		src := lab.Client(s)
		src.Timeout = lab.Silence
		return src, s
	}
	t.Run("in time", func(t *testing.T) {
		src, _ := slow(t, func() string {
			time.Sleep(3 * lab.Silence)
			return "213 SHA-256 0-9 " + hash + " x"
		})
		got, err := src.Hash(t.Context(), lab.SetupPath)
		require.NoError(t, err)
		require.Equal(t, hash, got)
	})
	t.Run("never", func(t *testing.T) {
		src, s := slow(t, func() string { return "213-Computing SHA-256 digest" })
		src.Timeout = lab.Silence / 2
		began := time.Now()
		_, err := src.Hash(t.Context(), lab.SetupPath)
		require.ErrorIs(t, err, fetch.ErrUnreachable)
		require.ErrorContains(t, err, fmt.Sprintf("no reply to HASH within %v", 10*lab.Silence))
		require.GreaterOrEqual(t, time.Since(began), 10*lab.Silence)
		n := 0
		for _, said := range s.Commands() {
			if strings.HasPrefix(said, "HASH") {
				n++
			}
		}
		require.Equal(t, 1, n, "another try would take as long")
		logins := lab.Logins(s)
		_, err = src.Hash(t.Context(), "/asp/another.exe")
		require.ErrorIs(t, err, errors.ErrUnsupported, "and another file")
		require.Equal(t, logins, lab.Logins(s))
		lab.NoneLeft(t, s)
	})
	t.Run("canceled", func(t *testing.T) {
		asked := make(chan struct{})
		src, s := slow(t, func() string { close(asked); return "hang" })
		src.Timeout = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		_, err := src.Hash(ctx, lab.SetupPath)
		require.ErrorIs(t, err, context.Canceled)
		lab.NoneLeft(t, s)
	})
}

func TestHashOnVSFTPDIsUnsupported(t *testing.T) {
	root := t.TempDir()
	lab.Put(t, root, lab.SetupPath, []byte("x"))
	s := realtest.VSFTPD(t, root)
	src := &ftp.Source{Addr: s.Addr, User: s.User, Password: s.Password, Retry: lab.Soon}
	_, err := src.Hash(t.Context(), lab.SetupPath)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	src = &ftp.Source{Addr: s.Addr, User: s.User, Password: "not-it", Retry: lab.Soon}
	_, err = src.Hash(t.Context(), lab.SetupPath)
	require.ErrorIs(t, err, fetch.ErrCredentials)
}

func TestHashOnProFTPD(t *testing.T) {
	t.Parallel()
	for _, o := range []realtest.Options{{Digest: true}, {Digest: true, TLS: realtest.Explicit}} {
		root := t.TempDir()
		data := lab.Payload(100_000)
		lab.Put(t, root, lab.SetupPath, data)
		lab.Put(t, root, "/\xce\xef\xe5\xea\xe0/Мой Setup.exe", data[:1000])
		src := lab.Real(realtest.FTP(t, realtest.ProFTPD, root, o), o.TLS)
		got, err := src.Hash(t.Context(), lab.SetupPath)
		require.NoError(t, err)
		require.Equal(t, lab.Sum(data), got)
		got, err = src.Hash(t.Context(), "/\xce\xef\xe5\xea\xe0/Мой Setup.exe")
		require.NoError(t, err)
		require.Equal(t, lab.Sum(data[:1000]), got)
		_, err = src.Hash(t.Context(), "/asp/none")
		require.ErrorIs(t, err, fetch.ErrNotFound)
	}
}
