package archive_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// The hashes of all releases are kept in one file, in the format of
// sha256sum.
func ExamplePinnedSums() {
	server := lab.Vendor("/asp/7.12.200/Setup.exe")
	defer server.Close()
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sums := filepath.Join(dir, "vendor.sha256")
	line := fmt.Sprintf("%x  asp/7.12.200/Setup.exe\n", sha256.Sum256([]byte("installer")))
	if err := os.WriteFile(sums, []byte(line), 0o600); err != nil {
		panic(err)
	}

	ctx := context.Background()
	src := &ftp.Source{Addr: server.Addr}
	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
	if err != nil {
		panic(err)
	}
	store := &archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive")}
	item, err := store.Fetch(ctx, src, rel, version.Setup, archive.PinnedSums(sums))
	if err != nil {
		panic(err)
	}
	fmt.Println(item.Vouched)
	// Output: SHA-256 pinned in vendor.sha256
}

// Where nothing vouches for a file, the server should at least not contradict
// itself.
func ExampleWithServerHash() {
	server := lab.Vendor("/asp/7.12.200/Setup.exe")
	defer server.Close()
	other := sha256.Sum256([]byte("what was there before"))
	server.Put("/asp/7.12.200/Setup.exe.sha256", fmt.Appendf(nil, "%x  Setup.exe\n", other), time.Date(2019, 12, 18, 17, 0, 0, 0, time.UTC))
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	ctx := context.Background()
	src := &ftp.Source{Addr: server.Addr}
	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
	if err != nil {
		panic(err)
	}
	verify := archive.WithServerHash(src, archive.Unauthenticated("no hash is published"))
	_, err = (&archive.Archive{Settle: -1, Dir: dir}).Fetch(ctx, src, rel, version.Setup, verify)
	fmt.Println(errors.Is(err, archive.ErrMismatch))
	// Output: true
}

// What the archive does not have can be got from the vendor's support.
func ExampleArchive_Import() {
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store := &archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive")}
	key := archive.Key{Distribution: "asp", Version: version.MustParse("7.11.200"), Variant: version.Setup}
	_, err = store.Get(key)
	fmt.Println(err)

	sent := filepath.Join(dir, "Setup.exe")
	if err := os.WriteFile(sent, []byte("installer"), 0o600); err != nil {
		panic(err)
	}
	item, err := store.Import(context.Background(), sent, key, archive.Unauthenticated("sent by support, 3 December"))
	if err != nil {
		panic(err)
	}
	fmt.Println(item.Vouched)
	// Output:
	// get /asp/7.11.200/Setup: not in the archive; ask the vendor's support for Setup of asp, version 7.11.200, and import the file
	// unauthenticated: sent by support, 3 December
}
