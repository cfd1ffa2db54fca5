package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/process"
)

// selfExtracting makes an installer as makers of such make them: a script with
// an archive behind it, of so many megabytes, which unpacks itself into the
// directory in its argument and then works for a while.
func selfExtracting(b *testing.B, megabytes int, work string) Command {
	b.Helper()
	var packed bytes.Buffer
	fmt.Fprintf(&packed, "#!/bin/sh\nset -e\ntail -n +6 \"$0\" | tar -xz -C \"$1\"\nsleep %s\nexit 0\n", work)
	z := gzip.NewWriter(&packed)
	t := tar.NewWriter(z)
	random := rand.NewChaCha8([32]byte{7, 13})
	piece := make([]byte, 1<<20)
	for i := 0; packed.Len() < megabytes<<20; i++ {
		half := piece[:len(piece)/2] // half of what is packed compresses well
		_, _ = random.Read(half)
		require.NoError(b, t.WriteHeader(&tar.Header{Name: strconv.Itoa(i), Mode: 0o644, Size: int64(len(piece))}))
		_, err := t.Write(piece)
		require.NoError(b, err)
	}
	require.NoError(b, t.Close())
	require.NoError(b, z.Close())
	path := filepath.Join(b.TempDir(), "setup.run")
	require.NoError(b, os.WriteFile(path, packed.Bytes(), 0o700))
	sum, err := hashOf(path)
	require.NoError(b, err)
	return Command{Path: path, SHA256: sum, Kind: Script}
}

func hashOf(path string) (string, error) {
	out, err := exec.Command("sha256sum", path).Output()
	return string(out[:min(len(out), 2*32)]), err
}

// BenchmarkRun compares a run with os/exec alone, and with os/exec after the
// same copying and hashing: the first shows what safety costs, the second what
// watching costs. Each round has all three, in turn.
func BenchmarkRun(b *testing.B) {
	for name, cmd := range map[string]Command{
		"1s":    selfExtracting(b, 1, "1"),
		"100MB": selfExtracting(b, benchMB(), "0"),
	} {
		b.Run(name, func(b *testing.B) {
			base := b.TempDir()
			ways := []struct {
				name string
				run  func(to string) error
			}{
				{"exec", func(to string) error { return exec.Command("/bin/sh", cmd.Path, to).Run() }},
				{"copy-exec", func(to string) error {
					state := filepath.Join(to, "state")
					if err := os.Mkdir(state, 0o700); err != nil {
						return err
					}
					path, err := privateCopy(context.Background(), state, process.NewRecord().ID, cmd.Path, cmd.SHA256, "")
					if err != nil {
						return err
					}
					defer removeLeftovers(state)
					return exec.Command("/bin/sh", path, to).Run()
				}},
				{"runner", func(to string) error {
					c := cmd
					c.Args = []string{to}
					_, err := (&Runner{State: filepath.Join(to, "state")}).Run(context.Background(), c)
					return err
				}},
			}
			took, worked := make([][]time.Duration, len(ways)), make([][]time.Duration, len(ways))
			for round := range max(b.N, 1) {
				for i := range ways {
					i = (i + round) % len(ways)
					to := filepath.Join(base, "to")
					require.NoError(b, os.Mkdir(to, 0o700))
					begun, before := time.Now(), processorTime()
					err := ways[i].run(to)
					took[i] = append(took[i], time.Since(begun))
					worked[i] = append(worked[i], processorTime()-before)
					require.NoError(b, err, ways[i].name)
					require.FileExists(b, filepath.Join(to, "0"))
					require.NoError(b, os.RemoveAll(to))
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, w := range ways {
				b.ReportMetric(median(took[i]).Seconds(), w.name+"-s")
				b.ReportMetric(median(worked[i]).Seconds(), w.name+"-cpu-s")
			}
			b.ReportMetric(median(took[2]).Seconds()/median(took[0]).Seconds(), "runner/exec")
			b.ReportMetric(median(took[2]).Seconds()/median(took[1]).Seconds(), "runner/copy-exec")
		})
	}
}

func benchMB() int {
	if n, err := strconv.Atoi(os.Getenv("ASPUPDATE_BENCH_MB")); err == nil {
		return n
	}
	return 100
}

// processorTime is what this process and its children have used of the
// processors: other than the clock's, it hardly depends on what else runs.
func processorTime() (sum time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			panic(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// BenchmarkDetect reads an installer of a gigabyte, and reports which part of
// the time of sha256sum that takes: a quarter at most is asked for.
func BenchmarkDetect(b *testing.B) {
	path := filepath.Join(b.TempDir(), "setup.exe")
	require.NoError(b, os.WriteFile(path, samples()["nsis further on"], 0o600))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(b, err)
	piece := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{7, 13})
	for range 1 << 10 {
		_, _ = random.Read(piece)
		_, err := f.Write(piece)
		require.NoError(b, err)
	}
	require.NoError(b, f.Close())
	var hashing []time.Duration
	for range 3 {
		begun := time.Now()
		_, err := hashOf(path)
		hashing = append(hashing, time.Since(begun))
		require.NoError(b, err)
	}
	for b.Loop() {
		kind, err := Detect(path)
		if err != nil || kind != NSIS {
			b.Fatal(kind, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/median(hashing).Seconds(), "of-sha256sum")
	b.ReportMetric(median(hashing).Seconds(), "sha256sum-s")
}
