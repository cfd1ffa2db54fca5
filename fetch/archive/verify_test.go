package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// candidate is a file that waits, with what a verifier checks.
func candidate(distribution, number string, variant version.Variant, name string, data []byte) archive.Candidate {
	return archive.Candidate{
		Key:  archive.Key{Distribution: distribution, Version: version.MustParse(number), Variant: variant, SHA256: lab.Sum(data)},
		Name: name, Size: int64(len(data)),
	}
}

func TestPinnedSums(t *testing.T) {
	mine, other := lab.Sum([]byte("mine")), lab.Sum([]byte("other"))
	setup := candidate("asp", "7.12.100", version.Setup, "Setup.exe", []byte("mine"))
	for name, c := range map[string]struct {
		text string
		of   archive.Candidate
		want string // of the error; empty: none
	}{
		"plain":           {mine + "  asp/7.12.100/Setup.exe\n", setup, ""},
		"binary":          {mine + " *asp/7.12.100/Setup.exe\n", setup, ""},
		"from Windows":    {"\ufeff" + strings.ToUpper(mine) + "  asp\\7.12.100\\Setup.exe\r\n", setup, ""},
		"with a dot":      {mine + "  ./asp/7.12.100/Setup.exe", setup, ""},
		"from the root":   {mine + "\t/asp/7.12.100/setup.EXE", setup, ""},
		"no extension":    {mine + "  asp/7.12.100/Setup", setup, ""},
		"another layout":  {mine + "  asp/Setup_7.12.100.exe", setup, ""},
		"another still":   {mine + "  asp/Setup/7.12.100.exe", setup, ""},
		"twice the same":  {mine + "  asp/7.12.100/Setup.exe\n" + mine + "  asp/Setup-7.12.100.exe", setup, ""},
		"among others":    {"# by mail\n\n" + other + "  asp/7.12.200/Setup.exe\n" + other + "  asp/7.12.100/FullSetup.exe\n" + mine + "  asp/7.12.100/Setup.exe\n" + other + "  asp/7.12.100/Setup.txt\n", setup, ""},
		"full":            {other + "  asp/7.12.100/Setup.exe\n" + mine + "  asp/7.12.100/FullSetup.exe", candidate("asp", "7.12.100", version.FullSetup, "FullSetup.exe", []byte("mine")), ""},
		"Cyrillic, space": {mine + "  АСП плюс/7.12.100/Setup 7.12.100.exe", candidate("АСП плюс", "7.12.100", version.Setup, "Setup.exe", []byte("mine")), ""},

		"another hash":         {other + "  asp/7.12.100/Setup.exe", setup, "has " + other},
		"two hashes":           {mine + "  asp/7.12.100/Setup.exe\n" + other + "  asp/Setup_7.12.100.exe", setup, "different SHA-256 hashes of asp/7.12.100/Setup"},
		"two hashes, no ext":   {other + "  asp/7.12.100/Setup\n" + mine + "  asp/7.12.100/Setup.exe", setup, "different SHA-256 hashes"},
		"another version":      {mine + "  asp/7.12.200/Setup.exe", setup, "no SHA-256 of asp/7.12.100/Setup"},
		"another variant":      {mine + "  asp/7.12.100/FullSetup.exe", setup, "no SHA-256 of asp/7.12.100/Setup"},
		"another distribution": {mine + "  opeka/7.12.100/Setup.exe", setup, "no SHA-256 of asp/7.12.100/Setup"},
		"another extension":    {mine + "  asp/7.12.100/Setup.msi", setup, "no SHA-256 of asp/7.12.100/Setup"},
		"a hidden one":         {mine + "  .asp/7.12.100/Setup.exe", setup, "no SHA-256 of asp/7.12.100/Setup"},
		"empty":                {"\n# nothing yet\n", setup, "no SHA-256 of asp/7.12.100/Setup"},
		"a hash alone":         {mine + "\n", setup, ":1: write it like"},
		"a name alone":         {mine + "  Setup.exe\n", setup, ":1: write it like"},
		"no distribution":      {"\n" + mine + "  7.12.100/Setup.exe\n", setup, ":2: write it like"},
		"outside":              {mine + "  ../7.12.100/Setup.exe", setup, ":1: write it like"},
		"short hash":           {mine + "  asp/7.12.100/Setup.exe\n" + mine[:63] + "  asp/7.12.200/Setup.exe", setup, ":2: write it like"},
		"escaped":              {`\` + mine + `  asp\\7.12.100\\Setup.exe`, setup, ":1: write it like"},
		"HTML":                 {"<html><body>not found", setup, ":1: write it like"},
		"UTF-16":               {"\xff\xfea\x00", setup, "save it as UTF-8"},
		"an installer":         {strings.Repeat("x", 12<<20), setup, "not a list of hashes"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := archive.PinnedSums(lab.WriteTemp(t, "sums.txt", []byte(c.text))).Verify(t.Context(), c.of)
			if c.want == "" {
				require.NoError(t, err)
				require.Equal(t, archive.Vouched{By: "SHA-256 pinned in sums.txt", Authenticated: true}, v)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.Zero(t, v)
			require.Equal(t, name == "another hash", errors.Is(err, archive.ErrMismatch))
		})
	}
}

// TestPinnedSumsLaw writes hashes of many releases in any of the forms; the
// file vouches for each of them and for nothing else.
func TestPinnedSumsLaw(t *testing.T) {
	path := lab.WriteTemp(t, "sums.txt", nil)
	rapid.Check(t, func(rt *rapid.T) {
		var text bytes.Buffer
		var all []archive.Candidate
		for i := range rapid.IntRange(1, 8).Draw(rt, "releases") {
			variant := rapid.SampledFrom([]version.Variant{version.Setup, version.FullSetup}).Draw(rt, "variant")
			c := candidate("asp", fmt.Sprintf("7.%02d.100", i+1), variant, variant.String()+".exe", []byte{byte(i)})
			all = append(all, c)
			form := rapid.SampledFrom([]string{"%[1]s/%[2]s/%[3]s.exe", "/%[1]s/%[3]s/%[2]s", `%[1]s\%[2]s\%[3]s-%[2]s.exe`}).Draw(rt, "form")
			name := fmt.Sprintf(form, c.Distribution, c.Version, c.Variant)
			text.WriteString(c.SHA256 + rapid.SampledFrom([]string{"  ", " *", "\t"}).Draw(rt, "mode") + name + rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "end"))
		}
		require.NoError(rt, os.WriteFile(path, text.Bytes(), 0o600))
		for i, c := range all {
			_, err := archive.PinnedSums(path).Verify(context.Background(), c)
			require.NoError(rt, err)
			c.SHA256 = all[(i+1)%len(all)].SHA256
			_, err = archive.PinnedSums(path).Verify(context.Background(), c)
			require.Equal(rt, len(all) > 1, errors.Is(err, archive.ErrMismatch))
		}
	})
}

func TestPinnedSumsAreReadBeforeTheDownload(t *testing.T) {
	x := newSetup(t, size)
	path := lab.WriteTemp(t, "sums.txt", []byte("nonsense"))
	for _, bad := range []string{path, path + ".none"} {
		_, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.PinnedSums(bad))
		require.ErrorContains(t, err, bad)
	}
	require.Zero(t, x.s.Sent())
	require.NoError(t, os.WriteFile(path, []byte(lab.Sum(x.data)+"  asp/7.12.100/Setup.exe"), 0o600))
	it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.PinnedSums(path))
	x.good(t, it, err)
	require.True(t, it.Vouched.Authenticated)
}

// TestSidecarUnderAttack has what a server could put beside an installer.
func TestSidecarUnderAttack(t *testing.T) {
	x := newSetup(t, size)
	mine, other := lab.Sum(x.data), strings.Repeat("a", 64)
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"endless":          {mine + "  Setup.exe\n" + strings.Repeat("#\n", 6<<20), "not a list of hashes"},
		"one endless line": {strings.Repeat("a", 12<<20), "not a list of hashes"},
		"an error page":    {"<!DOCTYPE html><html><title>404</title></html>", "no SHA-256 of Setup.exe"},
		"of another file":  {mine + "  Other.exe", "no SHA-256 of Setup.exe"},
		"two hashes":       {mine + "  Setup.exe\n" + other + "  Setup.exe", "different SHA-256 hashes of Setup.exe"},
		"two, one bare":    {mine + "\n" + other + "  Setup.exe", "different SHA-256 hashes of Setup.exe"},
		"another hash":     {other + "  Setup.exe", "vouched for: the SHA-256 beside it on the server is " + other},
		"CertUtil":         {"SHA256 hash of Setup.exe:\r\n" + mine + "\r\nCertUtil: -hashfile command completed successfully.\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			x.s.Put(lab.SetupPath+".sha256", []byte(c.text), lab.Released)
			for _, v := range []archive.Verifier{archive.Sidecar(x.src), archive.WithServerHash(x.src, archive.Unauthenticated("a test"))} {
				it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, v)
				if c.want == "" {
					x.good(t, it, err)
					continue
				}
				require.ErrorContains(t, err, c.want)
				require.Equal(t, name == "another hash", errors.Is(err, archive.ErrMismatch))
				x.empty(t)
			}
		})
	}
	t.Run("not confirmed", func(t *testing.T) {
		x.s.Put(lab.SetupPath+".sha256", []byte(mine+"  Setup.exe\n"+other+"  Setup.exe\n"), lab.Released)
		x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
			if strings.HasSuffix(tr.Path, ".sha256") {
				return fetchtest.Fault{Cut: int64(len(mine) + 11), Reply: "426 broken"}
			}
			return fetchtest.Fault{}
		})
		_, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.Sidecar(x.src))
		require.ErrorContains(t, err, "Setup.exe.sha256")
		require.ErrorContains(t, err, "426")
		x.empty(t)
	})
}

func TestWithServerHash(t *testing.T) {
	other := strings.Repeat("a", 64)
	without := archive.Unauthenticated("a test")
	for name, c := range map[string]struct {
		sidecar, hash string // %s is the right one
		verify        archive.Verifier
		by            string
		mismatch      bool
	}{
		"no server hash":          {"", "", without, "unauthenticated: a test", false},
		"sidecar agrees":          {"%s  Setup.exe", "213 SHA-256 0-1 " + other, without, "unauthenticated: a test; agrees with the SHA-256 beside it on the server", false},
		"sidecar contradicts":     {other, "213 SHA-256 0-1 %s", without, "", true},
		"server agrees":           {"", "213 SHA-256 0-1 %s", without, "unauthenticated: a test; agrees with the SHA-256 computed by the server", false},
		"server contradicts":      {"", "213 SHA-256 0-1 " + other, without, "", true},
		"server fails to compute": {"", "450 busy", without, "unauthenticated: a test", false},
		"server talks nonsense":   {"", "213 what", without, "unauthenticated: a test", false},
		"an authenticated file": {other, "", archive.VerifierFunc(func(context.Context, archive.Candidate) (archive.Vouched, error) {
			return archive.Vouched{By: "publisher", Authenticated: true}, nil
		}), "publisher", false},
		"one that is refused anyway": {"%s", "", archive.PinnedSHA256(other), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			mine := lab.Sum(x.data)
			if c.sidecar != "" {
				x.s.Put(lab.SetupPath+".sha256", []byte(strings.ReplaceAll(c.sidecar, "%s", mine)), lab.Released)
			}
			if c.hash != "" {
				x.s.Features = []string{"SIZE", "MDTM", "REST STREAM", "HASH SHA-256*"}
				lab.Replies(x.s, map[string]string{"HASH": strings.ReplaceAll(c.hash, "%s", mine)})
			}
			it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.WithServerHash(x.src, c.verify))
			if c.mismatch {
				require.ErrorIs(t, err, archive.ErrMismatch)
				x.empty(t)
				return
			}
			x.good(t, it, err)
			require.Equal(t, c.by, it.Vouched.By)
			require.Equal(t, name == "an authenticated file", it.Vouched.Authenticated)
			require.Equal(t, c.by, it.Vouched.String())
		})
	}
	_, err := (&archive.Archive{Settle: -1, Dir: t.TempDir()}).Import(t.Context(), lab.WriteTemp(t, "Setup.exe", []byte("x")), setupKey(), archive.WithServerHash(&ftp.Source{}, without))
	require.NoError(t, err, "what came by mail has no server to be asked")
}

// Whatever a server replies to the request for a sidecar, it does not end a
// fetch; and one that is not listed is not asked for.
func TestAHintIsNeverFatal(t *testing.T) {
	for _, reply := range []string{
		"421 bye", "425 no", "426 no", "450 busy", "451 no", "452 full", "hang", "what?",
		"500 no", "501 no", "504 no", "530 no", "532 no", "550 no", "551 no", "552 no", "553 no",
	} {
		for _, listed := range []bool{false, true} {
			x := newSetup(t, size)
			if listed {
				x.s.Put(lab.SetupPath+".sha256", []byte(lab.Sum(x.data)), lab.Released)
			}
			lab.Replies(x.s, map[string]string{"RETR " + lab.SetupPath + ".sha256": reply})
			x.src.Timeout = lab.Silence
			it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.WithServerHash(x.src, archive.Unauthenticated("a test")))
			x.good(t, it, err)
			require.Equal(t, listed, slices.Contains(x.s.Commands(), "RETR "+lab.SetupPath+".sha256"), reply)
		}
	}
}

// Nor does a server that breaks off in the middle of it, or lists no more.
func TestAHintThatBreaksOff(t *testing.T) {
	for name, c := range map[string]struct {
		hint    fetchtest.Fault
		listing string
	}{
		"426":           {fetchtest.Fault{Cut: 80, Reply: "426 broken"}, ""},
		"half, 226":     {fetchtest.Fault{Cut: 30}, ""},
		"reset":         {fetchtest.Fault{Cut: 80, Reset: true}, ""},
		"stalls":        {fetchtest.Fault{Cut: 80, Stall: true}, ""},
		"lists no more": {fetchtest.Fault{}, "451 no"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			x.src.Timeout = lab.Silence
			text := lab.Sum([]byte("another")) + "  Another.exe\n" + lab.Sum(x.data) + "  Setup.exe\n"
			x.s.Put(lab.SetupPath+".sha256", []byte(text), lab.Released)
			asked := false
			x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
				if strings.HasSuffix(tr.Path, ".sha256") {
					return c.hint
				}
				return fetchtest.Fault{}
			})
			verify := archive.VerifierFunc(func(context.Context, archive.Candidate) (archive.Vouched, error) {
				asked = true
				if c.listing != "" {
					lab.Replies(x.s, map[string]string{"MLSD": c.listing, "LIST": c.listing})
				}
				return archive.Vouched{By: "a test"}, nil
			})
			it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.WithServerHash(x.src, verify))
			x.good(t, it, err)
			require.True(t, asked)
			require.Equal(t, "a test; its SHA-256 on the server could not be read", it.Vouched.By)
		})
	}
}

func TestRemoteHash(t *testing.T) {
	x := newSetup(t, size)
	x.s.Features = []string{"SIZE", "MDTM", "REST STREAM", "XSHA256"}
	lab.Replies(x.s, map[string]string{"XSHA256 " + lab.SetupPath: "250 " + strings.ToUpper(lab.Sum(x.data))})
	it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.RemoteHash(x.src))
	x.good(t, it, err)
	require.Equal(t, "SHA-256 computed by the server (unauthenticated)", it.Vouched.String())

	x = newSetup(t, size)
	_, err = x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.RemoteHash(x.src))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "the server computes no SHA-256")
	x.empty(t)
	sent := x.s.Sent()
	_, err = x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.RemoteHash(lab.Listings{}))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.Equal(t, sent, x.s.Sent(), "a source that cannot ask is refused before the download")
	_, err = x.archive.Import(t.Context(), lab.WriteTemp(t, "Setup.exe", []byte("x")), setupKey(), archive.RemoteHash(x.src))
	require.ErrorContains(t, err, "not from a server")
}
