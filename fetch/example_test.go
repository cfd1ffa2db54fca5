package fetch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/version"
)

// vendor starts an FTP server in this process, in place of the vendor's.
func vendor(paths ...string) *fetchtest.Server {
	s, err := fetchtest.Listen()
	if err != nil {
		panic(err)
	}
	for _, path := range paths {
		s.Put(path, []byte("installer"), time.Date(2019, 12, 18, 17, 0, 0, 0, time.UTC))
	}
	return s
}

// Find the newest release and bring it into the archive.
func Example() {
	server := vendor("/asp/7.12.100/Setup.exe", "/asp/7.12.200/Setup.exe")
	defer server.Close()
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sum := sha256.Sum256([]byte("installer")) // told by the vendor, by another way

	ctx := context.Background()
	src := fetch.FTP{Addr: server.Addr}
	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
	if err != nil {
		panic(err)
	}
	archive := fetch.Archive{Dir: dir}
	item, err := archive.Fetch(ctx, src, rel, version.Setup, fetch.PinnedSHA256(hex.EncodeToString(sum[:])))
	if err != nil {
		panic(err)
	}
	fmt.Println(item.Version, filepath.Base(item.Path), item.Size, item.Vouched)
	// Output: 7.12.200 Setup.exe 9 pinned SHA-256
}

// Two distributions that are updated as one.
func ExampleFinder_Joint() {
	server := vendor("/asp/7.12.100/Setup.exe", "/asp/7.12.200/Setup.exe", "/opeka/7.12.100/Setup.exe")
	defer server.Close()
	finder := fetch.Finder{Observe: func(e fetch.Event) {
		if e.Kind == fetch.EventIncomplete {
			fmt.Println("newer, but not whole:", e.Missing)
		}
	}}
	bundle := []fetch.Wanted{{Distribution: "asp", Variant: version.Setup}, {Distribution: "opeka", Variant: version.Setup}}
	releases, err := finder.Joint(context.Background(), fetch.FTP{Addr: server.Addr}, bundle, fetch.SameNumber)
	fmt.Println(releases, err)

	server.Remove("/asp/7.12.100/Setup.exe") // the server keeps no history
	_, err = finder.Joint(context.Background(), fetch.FTP{Addr: server.Addr}, bundle, fetch.SameNumber)
	fmt.Println(errors.Is(err, fetch.ErrIncomplete))
	// Output:
	// newer, but not whole: [opeka: no Setup of 7.12.200 (not on the server)]
	// [/asp/7.12.100 /opeka/7.12.100] <nil>
	// true
}

// What the archive does not have can be got from the vendor's support.
func ExampleArchive_Import() {
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	archive := fetch.Archive{Dir: filepath.Join(dir, "archive")}
	key := fetch.Key{Distribution: "asp", Version: version.MustParse("7.11.200"), Variant: version.Setup}
	_, err = archive.Get(key)
	fmt.Println(err)

	sent := filepath.Join(dir, "Setup.exe")
	if err := os.WriteFile(sent, []byte("installer"), 0o600); err != nil {
		panic(err)
	}
	item, err := archive.Import(context.Background(), sent, key, fetch.Unauthenticated("sent by support, 3 December"))
	if err != nil {
		panic(err)
	}
	fmt.Println(item.Vouched)
	// Output:
	// get /asp/7.11.200/Setup: not in the archive; ask the vendor's support for Setup of asp, version 7.11.200, and import the file
	// unauthenticated: sent by support, 3 December
}
