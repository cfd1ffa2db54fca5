package fetchtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"testing"

	"github.com/aspupdate/aspupdate/fetch"
)

// TestSource checks a Source against the contract of package fetch. serve
// returns a Source that has exactly the given files, by absolute paths;
// it is called once for each test and cleans up after itself.
func TestSource(t *testing.T, serve func(t *testing.T, files map[string][]byte) fetch.Source) {
	t.Helper()
	large := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	files := map[string][]byte{
		"/asp/7.12.100/Setup.exe":     large,
		"/asp/7.12.100/FullSetup.exe": []byte("full"),
		"/asp/7.12.200/Setup.exe":     {},
		"/Опека/7.12.100/Setup.exe":   []byte("кириллица"),
	}
	t.Run("List", func(t *testing.T) { testList(t, serve(t, files)) })
	t.Run("Open", func(t *testing.T) { testOpen(t, serve(t, files), files) })
	t.Run("Missing", func(t *testing.T) { testMissing(t, serve(t, files)) })
	t.Run("Canceled", func(t *testing.T) { testCanceled(t, serve(t, files)) })
	t.Run("CloseBeforeTheEnd", func(t *testing.T) { testEarlyClose(t, serve(t, files)) })
	t.Run("Sizes", func(t *testing.T) { testSizes(t, serve(t, files), files) })
	t.Run("SideBySide", func(t *testing.T) { testSideBySide(t, serve(t, files)) })
}

func testList(t *testing.T, src fetch.Source) {
	for dir, want := range map[string][]string{
		"/":             {"asp", "Опека"},
		"/asp":          {"7.12.100", "7.12.200"},
		"/asp/7.12.100": {"FullSetup.exe", "Setup.exe"},
		"/Опека":        {"7.12.100"},
	} {
		entries, err := src.List(t.Context(), dir)
		if err != nil {
			t.Fatalf("List(%q): %v", dir, err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name)
			isFile := dir == "/asp/7.12.100"
			if (e.Kind == fetch.KindFile) != isFile || (e.Kind == fetch.KindDir) == isFile {
				t.Errorf("List(%q): %q has kind %d", dir, e.Name, e.Kind)
			}
			if e.Name == "FullSetup.exe" && e.Size != 4 {
				t.Errorf("List(%q): %q has size %d, want 4", dir, e.Name, e.Size)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", dir, got, want)
		}
	}
}

func testOpen(t *testing.T, src fetch.Source, files map[string][]byte) {
	for name, data := range files {
		for _, offset := range []int{0, 1, len(data) / 2, len(data) - 1} {
			if offset < 0 || offset > len(data) {
				continue
			}
			r, err := src.Open(t.Context(), name, int64(offset))
			if err != nil {
				t.Fatalf("Open(%q, %d): %v", name, offset, err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, data[offset:]) {
				t.Errorf("Open(%q, %d): read %d bytes, %v; want %d", name, offset, len(got), err, len(data)-offset)
			}
			if err := r.Close(); err != nil {
				t.Errorf("Open(%q, %d): Close after the end: %v", name, offset, err)
			}
		}
	}
}

func testMissing(t *testing.T, src fetch.Source) {
	if entries, err := src.List(t.Context(), "/no-such"); !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("List of a missing directory = %v, %v, want ErrNotFound", entries, err)
	}
	r, err := src.Open(t.Context(), "/asp/7.12.100/no-such.exe", 0)
	if !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("Open of a missing file: %v, want ErrNotFound", err)
	}
	if err == nil {
		_ = r.Close()
	}
	if s, ok := src.(fetch.Stater); ok {
		if _, err := s.Stat(t.Context(), "/asp/7.12.100/no-such.exe"); !errors.Is(err, fetch.ErrNotFound) {
			t.Errorf("Stat of a missing file: %v, want ErrNotFound", err)
		}
	}
}

// testSizes checks that all methods report the true size: a download is whole
// only if as many bytes came.
func testSizes(t *testing.T, src fetch.Source, files map[string][]byte) {
	for name, data := range files {
		entries, err := src.List(t.Context(), path.Dir(name))
		if err != nil {
			t.Fatalf("List(%q): %v", path.Dir(name), err)
		}
		i := slices.IndexFunc(entries, func(e fetch.Entry) bool { return e.Name == path.Base(name) })
		if i < 0 || entries[i].Size >= 0 && entries[i].Size != int64(len(data)) {
			t.Errorf("List(%q) = %v, want %q with %d bytes", path.Dir(name), entries, path.Base(name), len(data))
		}
		if s, ok := src.(fetch.Stater); ok {
			e, err := s.Stat(t.Context(), name)
			partly := errors.Is(err, errors.ErrUnsupported)
			if partly && e.Size < 0 {
				e.Size = int64(len(data))
			}
			if err != nil && !partly || e.Kind != fetch.KindFile || e.Size != int64(len(data)) {
				t.Errorf("Stat(%q) = %v, %v, want a file of %d bytes", name, e, err, len(data))
			}
		}
		if h, ok := src.(fetch.Hasher); ok {
			want := fmt.Sprintf("%x", sha256.Sum256(data))
			if sum, err := h.Hash(t.Context(), name); sum != want && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Hash(%q) = %q, %v, want %q or ErrUnsupported", name, sum, err, want)
			}
		}
	}
}

func testSideBySide(t *testing.T, src fetch.Source) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 3 {
				if entries, err := src.List(t.Context(), "/asp/7.12.100"); err != nil || len(entries) != 2 {
					t.Errorf("List beside others = %v, %v", entries, err)
				}
			}
		})
	}
	all.Wait()
}

func testCanceled(t *testing.T, src fetch.Source) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.List(ctx, "/"); !errors.Is(err, context.Canceled) {
		t.Errorf("List with a canceled context: %v", err)
	}
	if r, err := src.Open(ctx, "/asp/7.12.100/Setup.exe", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a canceled context: %v", err)
		if err == nil {
			_ = r.Close()
		}
	}
}

func testEarlyClose(t *testing.T, src fetch.Source) {
	r, err := src.Open(t.Context(), "/asp/7.12.100/Setup.exe", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err == nil {
		t.Error("Close before the end returned nil, as if the transfer were complete")
	}
	if _, err := src.List(t.Context(), "/"); err != nil {
		t.Errorf("List after a transfer that was not finished: %v", err)
	}
}
