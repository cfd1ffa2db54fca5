package install

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/zipfile"
)

// What an archive holds is known before users are put out, and found without writing.
func TestReadyLooksIntoZips(t *testing.T) {
	windows := runtime.GOOS == "windows"
	here := map[bool]string{true: "inno", false: "script"}[windows]
	mistake := map[bool]string{true: "cannot run on windows", false: "has no program with an absolute"}[windows]
	deep := fakePE{section: ".text", data: bytes.Repeat([]byte("x"), 3*keptHead), overlay: samples()["nsis"][0x400:]}.bytes()
	for name, c := range map[string]struct {
		file []byte // setup in the archive
		cmd  Command
		want string // "" if it is ready here
	}{
		"no installer":                   {samples()["?not that of an installer"], Command{Kind: Auto}, "not that of an installer"},
		"no installer, stated":           {samples()["?not that of an installer"], Command{Kind: MSI}, "the kind is stated as msi: "},
		"an archive in it":               {samples()["?a zip archive"], Command{Kind: Auto}, "the file is a zip archive"},
		"empty":                          {nil, Command{Kind: Auto}, "the file is empty"},
		"truncated":                      {samples()["?RPM package is truncated"], Command{Kind: rpm}, "RPM package is truncated"},
		"truncated compound file":        {samples()["?is truncated, or its"], Command{Kind: Auto}, "is truncated, or its"},
		"msi as deb":                     {samples()["msi"], Command{Kind: Deb}, "the kind is stated as deb, and the file is one of kind msi"},
		"msi, not stated":                {samples()["msi"], Command{Kind: Auto}, "of kind msi in a zip archive: state the kind"},
		"nsis as inno, and far on":       {deep, Command{Kind: Inno}, "the kind is stated as inno, and the file is one of kind nsis"},
		"program without words":          {samples()["plain elf"], Command{Kind: Auto}, "the silent arguments of a plain program are not known"},
		"an interpreter's mistake":       {samples()["?has no program with an absolute"], Command{Kind: Script}, mistake},
		"of the other system":            {samples()[map[bool]string{true: "deb", false: "inno"}[windows]], Command{Kind: Auto}, "cannot run on " + runtime.GOOS},
		"missing":                        {samples()[here], Command{Kind: Auto, Entry: "bin/other"}, "the installer has no file"},
		"a directory":                    {samples()[here], Command{Kind: Auto, Entry: "bin"}, "the installer has no file"},
		"outside":                        {samples()[here], Command{Kind: Auto, Entry: "../bin/setup"}, "is outside of the installer"},
		"of this one":                    {samples()[here], Command{Kind: Auto}, ""},
		"written in another way":         {samples()[here], Command{Kind: Auto, Entry: "./bin//setup"}, ""},
		"with a path as on this machine": {samples()[here], Command{Kind: Auto, Entry: filepath.Join("bin", "setup")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.cmd.Path = makeZip(t, "read me", "x", "bin/", "", "bin/setup", string(c.file))
			if c.cmd.Entry == "" {
				c.cmd.Entry = "bin/setup"
			}
			r := &Runner{State: filepath.Join(t.TempDir(), "state"), elevated: always}
			err := r.Ready(t.Context(), c.cmd)
			require.NoDirExists(t, r.State)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			if name == "msi, not stated" {
				return
			}
			c.cmd.SHA256 = sumOf(t, c.cmd.Path)
			out, err := r.Run(t.Context(), c.cmd)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, notRun, out.Status)
		})
	}
}

// The file that runs decides about rights, also where it is one of many.
func TestRightsOfDirectoriesAndArchives(t *testing.T) {
	needs := map[bool]string{true: "inno", false: "deb"}[runtime.GOOS == "windows"]
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "setup"), samples()[needs], 0o600))
	for name, cmd := range map[string]Command{
		"directory": {Path: dir, Entry: "setup", Kind: Auto},
		"zip":       {Path: makeZip(t, "setup", string(samples()[needs])), Entry: "setup", Kind: Auto},
	} {
		r := &Runner{elevated: always}
		require.NoError(t, r.Ready(t.Context(), cmd), name)
		r.elevated = never
		require.ErrorIs(t, r.Ready(t.Context(), cmd), ErrPermission, name)
		cmd.Unelevated = true
		require.NoError(t, r.Ready(t.Context(), cmd), name)
		for entry, want := range map[string]string{"none": "has no file", "../setup": "is outside of", "": ""} {
			cmd.Entry = entry
			require.ErrorContains(t, r.Ready(t.Context(), cmd), want, name)
		}
	}
	require.Error(t, new(Runner).Ready(t.Context(), Command{Path: filepath.Join(dir, "missing.zip"), Entry: "setup", Kind: Auto}))
}

// A program whose manifest requires an administrator is known in an archive, too.
func TestRightsOfAProgramInAZip(t *testing.T) {
	program, err := os.ReadFile(withManifest(t, demanding("requireAdministrator")))
	require.NoError(t, err)
	cmd := Command{Path: makeZip(t, "setup.exe", string(program)), Entry: "setup.exe", Kind: NSIS}
	err = cmd.withEntry(t.Context(), func(f contents) error {
		require.ErrorIs(t, cmd.rights(f, never), ErrPermission)
		return cmd.rights(f, always)
	})
	require.NoError(t, err)
}

// An archive that is cut short or damaged is refused, wherever that is.
func TestReadyRefusesDamagedZips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, 20_000) // it cannot be compressed
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	whole, err := os.ReadFile(makeZip(t, "a", "x", "setup", "#!/bin/sh\n"+string(payload), "z", "x"))
	require.NoError(t, err)
	ready := func(b []byte) error {
		path := filepath.Join(t.TempDir(), "Setup.zip")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		return new(Runner).Ready(t.Context(), Command{Path: path, Entry: "setup", Launcher: []string{self(t)}})
	}
	require.NoError(t, ready(whole))
	for cut := 0; cut < len(whole); cut += 97 {
		require.ErrorContains(t, ready(whole[:cut]), "is not a zip archive, or is damaged or cut short")
	}
	at := bytes.Index(whole, payload[:100])
	require.Positive(t, at)
	for range 50 {
		b := bytes.Clone(whole)
		b[at+r.IntN(len(payload))] ^= 1
		require.ErrorContains(t, ready(b), `"setup" in the archive: zip: checksum error; get the archive anew`)
	}
	// What the directory says of a file leads out of the archive.
	directory := bytes.LastIndex(whole, []byte("PK\x01\x02"))
	for name, offset := range map[string]int{"compressed size": 20, "local header": 42, "method": 10} {
		b := bytes.Clone(whole)
		b[directory+offset+1] = 0x7f
		require.ErrorContains(t, ready(b), `"z" in the archive`, name)
	}
}

// A small archive can have files without end: neither their sizes nor their contents are
// believed without a limit.
func TestZipsWithoutEnd(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, size uint64) {
		w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, CompressedSize64: 2, UncompressedSize64: size})
		require.NoError(t, err)
		_, err = w.Write([]byte{3, 0})
		require.NoError(t, err)
	}
	add("setup", 1<<62)
	add("other", 1<<63)
	require.NoError(t, z.Close())
	path := filepath.Join(t.TempDir(), "Setup.zip")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	cmd := Command{Path: path, Entry: "setup", Launcher: []string{self(t)}}
	require.ErrorIs(t, (&Runner{State: t.TempDir()}).Ready(t.Context(), cmd), errTooMuch)
	require.ErrorContains(t, unpack(t.Context(), path, t.TempDir()), "is larger than the")
}

// endsAfter is a context that ends once it has been asked a number of times.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// An archive that is read whole is given up when the caller's context ends, and not called damaged.
func TestReadyEndsWithItsContext(t *testing.T) {
	zeros := string(make([]byte, 16*keptHead))
	cmd := Command{Path: makeZip(t, "setup", "#!/bin/sh\n"+zeros), Entry: "setup", Launcher: []string{self(t)}}
	all := &endsAfter{t.Context(), 1 << 30}
	require.NoError(t, new(Runner).Ready(all, cmd))
	pieces := 1<<30 - all.left
	require.Greater(t, pieces, 100, "it is read in pieces")
	half := &endsAfter{t.Context(), pieces / 2}
	err := new(Runner).Ready(half, cmd)
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, err.Error(), "get the archive anew")
	require.Greater(t, half.left, -10, "no more is read")

	cause := errors.New("the window has closed")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	require.ErrorIs(t, new(Runner).Ready(ctx, cmd), cause)
	cmd = Command{Path: self(t), Args: []string{"-q"}}
	require.ErrorIs(t, new(Runner).Ready(ctx, cmd), cause)
}

// What is in it is not the question then, nor is it damaged.
func TestReadyRefusesAZipOfTooManyFiles(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range zipfile.MaxFiles + 1 {
		_, err := z.CreateRaw(&zip.FileHeader{Name: strconv.Itoa(i)})
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	path := filepath.Join(t.TempDir(), "Setup.zip")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	err := new(Runner).Ready(t.Context(), Command{Path: path, Entry: "1"})
	require.ErrorIs(t, err, zipfile.ErrTooLarge)
	require.ErrorContains(t, err, "Setup.zip: the archive lists too many files, or with too long names: 100001; unpack it and use the directory")
	require.NotContains(t, err.Error(), "damaged")
}

// The headers of a file in an archive are read as those of the file itself, from any offset.
func TestAZipEntryIsReadAtAnyOffset(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 3*keptHead)
	for i := range data {
		data[i] = byte(i >> (r.IntN(3) * 8))
	}
	z, err := openZip(makeZip(t, "setup", string(data)))
	require.NoError(t, err)
	defer func() { _ = z.Close() }()
	e := &zipEntry{file: z.File[0], left: unpackLimit}
	defer e.close()
	require.NoError(t, e.readToEnd())
	for range 100 {
		off, n := r.IntN(len(data)), r.IntN(maxRead)
		b := make([]byte, min(n, len(data)-off))
		got, err := e.ReadAt(b, int64(off))
		require.NoError(t, err)
		require.Equal(t, len(b), got)
		require.True(t, bytes.Equal(data[off:off+len(b)], b), "%d bytes at %d", n, off)
	}
	_, err = e.ReadAt(make([]byte, 10), int64(len(data)-5))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	e = &zipEntry{file: z.File[0], left: int64(len(data)) + keptHead}
	defer e.close()
	require.NoError(t, e.readToEnd())
	_, err = e.ReadAt(make([]byte, 10), 2*keptHead)
	require.ErrorIs(t, err, errTooMuch, "to go back counts")
	e = &zipEntry{file: z.File[0], left: int64(len(data)) - 1}
	require.ErrorIs(t, e.readToEnd(), errTooMuch)
}
