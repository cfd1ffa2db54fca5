package fetchtest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
)

// A server that sends half of a file and says that this was all.
func Example() {
	server, err := fetchtest.Listen() // in a test: fetchtest.New(t)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	server.Put("/asp/7.13.100/Setup.exe", bytes.Repeat([]byte("x"), 1000), time.Date(2026, 1, 14, 17, 0, 0, 0, time.UTC))
	server.OnTransfer(func(t fetchtest.Transfer) fetchtest.Fault {
		if t.N == 1 {
			return fetchtest.Fault{Cut: 500} // and then "226 done"
		}
		return fetchtest.Fault{}
	})

	ctx := context.Background()
	src := &ftp.Source{Addr: server.Addr}
	entry, err := src.Stat(ctx, "/asp/7.13.100/Setup.exe")
	fmt.Println(entry.Size, err)
	for range 2 {
		r, err := src.Open(ctx, "/asp/7.13.100/Setup.exe", 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		n, err := io.Copy(io.Discard, r)
		fmt.Println(n, err, r.Close())
	}
	// A Source does not count bytes: the caller compares with the size, as an
	// archive does.

	// Output:
	// 1000 <nil>
	// 500 <nil> <nil>
	// 1000 <nil> <nil>
}
