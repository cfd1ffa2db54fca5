package archive_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aspupdate/aspupdate/fetch/archive"
)

// What makes the test binary one of the processes that a test needs.
const (
	readEnv  = "FETCH_TEST_READ"  // an archive to read until standard input ends
	writeEnv = "FETCH_TEST_WRITE" // an archive to write until killed
	crashEnv = "FETCH_TEST_CRASH" // a server and an archive to fetch into, apart by a space
	cutEnv   = "FETCH_TEST_CUT"   // a server and a directory of archives to write to, apart by a space
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(readEnv); dir != "" {
		os.Exit(readUntilTold(&archive.Archive{Settle: -1, Dir: dir}))
	}
	if dir := os.Getenv(writeEnv); dir != "" {
		os.Exit(writeUntilKilled(&archive.Archive{Settle: -1, Dir: dir}))
	}
	if addr, dir, ok := strings.Cut(os.Getenv(crashEnv), " "); ok {
		if err := fetchAsChild(addr, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if addr, dir, ok := strings.Cut(os.Getenv(cutEnv), " "); ok {
		if err := cutAsChild(addr, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
