package fetch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// Find the newest release and bring it into the archive.
func Example() {
	server := lab.Vendor("/asp/7.12.100/Setup.exe", "/asp/7.12.200/Setup.exe")
	defer server.Close()
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sum := sha256.Sum256([]byte("installer")) // from the vendor, by another way

	ctx := context.Background()
	src := &ftp.Source{Addr: server.Addr}
	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
	if err != nil {
		panic(err)
	}
	store := &archive.Archive{Dir: dir}
	item, err := store.Fetch(ctx, src, rel, version.Setup, archive.PinnedSHA256(hex.EncodeToString(sum[:])))
	if err != nil {
		panic(err)
	}
	fmt.Println(item.Version, filepath.Base(item.Path), item.Size, item.Vouched)
	// Output: 7.12.200 Setup.exe 9 pinned SHA-256
}

// Two distributions that are updated as one.
func ExampleFinder_Joint() {
	server := lab.Vendor("/asp/7.12.100/Setup.exe", "/asp/7.12.200/Setup.exe", "/opeka/7.12.100/Setup.exe")
	defer server.Close()
	finder := fetch.Finder{Observe: func(e fetch.Event) {
		if e.Kind == fetch.EventIncomplete {
			fmt.Println("newer, but not whole:", e.Missing)
		}
	}}
	bundle := []string{"asp", "opeka"}
	releases, err := finder.Joint(context.Background(), &ftp.Source{Addr: server.Addr}, bundle, version.Setup)
	fmt.Println(releases, err)

	server.Remove("/asp/7.12.100/Setup.exe") // the server keeps no history
	_, err = finder.Joint(context.Background(), &ftp.Source{Addr: server.Addr}, bundle, version.Setup)
	fmt.Println(errors.Is(err, fetch.ErrIncomplete))
	// Output:
	// newer, but not whole: [opeka: no Setup of 7.12.200 (not on the server)]
	// [/asp/7.12.100 /opeka/7.12.100] <nil>
	// true
}
