package archive_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// readUntilTold reads the archive until its standard input ends, and says
// what it saw that must not be.
func readUntilTold(a *archive.Archive) int {
	var over atomic.Bool
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		over.Store(true)
	}()
	read := 0
	for first := true; !over.Load(); first = false {
		n, err := lookAround(a)
		if err != nil {
			fmt.Println("bad:", err)
			return 1
		}
		if read += n; first {
			fmt.Println("reading")
		}
	}
	fmt.Println("read", read)
	return 0
}

// lookAround lists an archive that others write to, verifies every item, gets
// it again, and returns an error unless each is whole or gone.
func lookAround(a *archive.Archive) (read int, err error) {
	items, err := a.List()
	if !isGone(err) {
		return 0, fmt.Errorf("list: %w", err)
	}
	for _, it := range items {
		if err := a.Verify(context.Background(), it); err == nil {
			read++
		} else if !isGone(err) {
			return read, err
		}
		it, err := a.Get(it.Key)
		if err == nil {
			err = a.Verify(context.Background(), it)
		}
		if !isGone(err) {
			return read, err
		}
	}
	return read, nil
}

// isGone reports whether err says no more than that something is not there:
// every error in it.
func isGone(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case nil:
		return true
	case *fetch.Error:
		return e.Err != nil && isGone(e.Err)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if !isGone(err) {
				return false
			}
		}
		return true
	}
	return errors.Is(err, fs.ErrNotExist) || err == archive.ErrNotFound //nolint:errorlint // the sentinel itself
}

// write brings versions into an archive and removes them again, again and
// again. On Windows a version that is being read may stay for a while.
func write(t *testing.T, a *archive.Archive, src fetch.Source, rel fetch.Release) {
	t.Helper()
	for round := range 4 {
		for i, v := range []string{"7.01.100", "7.02.100", "7.03.100"} {
			text := strings.Repeat(fmt.Sprint(round%2, v), 2_000) // a re-release every other round
			store(t, a, key("asp", v, version.Setup), text, lab.Now.AddDate(0, 0, i))
			store(t, a, key("asp", v, version.FullSetup), text+"full", lab.Now.AddDate(0, 0, i))
		}
		_, err := a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
		require.NoError(t, err)
		_, err = a.Prune(t.Context(), archive.Retention{Newest: round%2 + 1}, []archive.Key{key("asp", "7.02.100", 0)})
		if runtime.GOOS != "windows" {
			require.NoError(t, err)
		}
	}
}

// left asserts what write leaves, once all readers are done.
func left(t *testing.T, a *archive.Archive) {
	t.Helper()
	_, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, []archive.Key{key("asp", "7.02.100", 0)})
	require.NoError(t, err)
	have := map[string]bool{}
	for _, it := range whole(t, a) {
		have[it.Version.String()] = true
	}
	require.Equal(t, map[string]bool{"7.12.100": true, "7.02.100": true}, have)
	hidden, err := filepath.Glob(filepath.Join(a.Dir, "asp", ".*"))
	require.NoError(t, err)
	require.Empty(t, hidden)
}

func TestR10ReadersMeetNoHalfVersion(t *testing.T) {
	t.Parallel()
	x := newSetup(t, size)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var read atomic.Int64
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n, err := lookAround(x.archive)
				if read.Add(int64(n)); err != nil {
					t.Errorf("a reader met half a version: %v", err)
					return
				}
			}
		})
	}
	write(t, x.archive, x.src, x.rel)
	close(stop)
	readers.Wait()
	require.Positive(t, read.Load())
	left(t, x.archive)
}

func TestR10AnotherProcessMeetsNoHalfVersion(t *testing.T) {
	t.Parallel()
	x := newSetup(t, size)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // ends the reader if it hangs
	defer cancel()
	reader := exec.CommandContext(ctx, os.Args[0])
	reader.Env = append(os.Environ(), readEnv+"="+x.archive.Dir)
	reader.Stderr = os.Stderr
	stop, err := reader.StdinPipe()
	require.NoError(t, err)
	out, err := reader.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, reader.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "reading", lines.Text())
	write(t, x.archive, x.src, x.rel)
	require.NoError(t, stop.Close())
	require.True(t, lines.Scan())
	var read int
	_, err = fmt.Sscanf(lines.Text(), "read %d", &read)
	require.NoError(t, err, "%s", lines.Text())
	require.NoError(t, reader.Wait())
	require.Positive(t, read)
	left(t, x.archive)
}

// writeUntilKilled imports and prunes without end.
func writeUntilKilled(a *archive.Archive) int {
	fmt.Println("writing")
	for round := 0; ; round++ {
		v := fmt.Sprintf("7.%02d.100", round%4+1)
		for _, variant := range []version.Variant{version.Setup, version.FullSetup} {
			file := filepath.Join(filepath.Dir(a.Dir), variant.String()+".exe")
			err := os.WriteFile(file, []byte(strings.Repeat(fmt.Sprint(time.Now(), variant), 1000)), 0o600)
			if err == nil {
				_, err = a.Import(context.Background(), file, key("asp", v, variant), archive.Unauthenticated("a test"))
			}
			if err != nil {
				fmt.Println("bad:", err)
				return 1
			}
		}
		if _, err := a.Prune(context.Background(), archive.Retention{Newest: 2}, nothingInUse); err != nil {
			fmt.Println("bad:", err)
			return 1
		}
	}
}

// Whenever a writer is killed, what is archived is whole, and the next writer
// need not wait for it.
func TestR10AKilledWriterLeavesWholeItems(t *testing.T) {
	t.Parallel()
	a := &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive")}
	for round := range 8 {
		writer := exec.CommandContext(t.Context(), os.Args[0])
		writer.Env = append(os.Environ(), writeEnv+"="+a.Dir)
		writer.Stderr = os.Stderr
		out, err := writer.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, writer.Start())
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		time.Sleep(time.Duration(11+23*round) * time.Millisecond) // whatever it is at then
		require.NoError(t, writer.Process.Kill())
		require.False(t, lines.Scan(), "%s", lines.Text())
		require.Error(t, writer.Wait())

		setups := map[version.Version]bool{}
		items := whole(t, a)
		for _, it := range items {
			setups[it.Version] = setups[it.Version] || it.Variant == version.Setup
		}
		for _, it := range items {
			require.True(t, setups[it.Version], "%s is there without its Setup", it.Key)
		}
		it := store(t, a, key("asp", "7.04.100", version.Setup), "the next writer's", lab.Now)
		require.NoError(t, a.Verify(t.Context(), it))
	}
	_, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.NoError(t, err)
	for _, it := range whole(t, a) {
		require.Equal(t, "7.04.100", it.Version.String())
	}
	hidden, err := filepath.Glob(filepath.Join(a.Dir, "asp", ".*"))
	require.NoError(t, err)
	require.Empty(t, hidden)
}
