// Command table runs the benchmarks of package peers and rewrites the table in
// its README.md. Run it in the directory of that file:
//
//	GOWORK=off go run ./table
//
// The benchmarks run in several rounds. In each round all libraries do a task
// one after another, so that a machine that is busy for a while is busy for all
// of them. The table shows medians over the rounds: of the times, and of the
// ratios within a round.
//
// The exit code is 1 if a ratio is above its limit, or if a benchmark of ours
// allocates that must not. The table is written anyway.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

func main() {
	rounds := flag.Int("rounds", 7, "`number` of rounds")
	benchtime := flag.String("benchtime", "100ms", "`time` for each benchmark in each round")
	bench := flag.String("bench", "", "run only benchmarks that match this `regexp`, and print the table instead of writing it")
	file := flag.String("readme", "README.md", "`file` to rewrite the table in")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *benchtime, *bench, *file); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, benchtime, bench, file string) error {
	if rounds < 1 {
		return fmt.Errorf("-rounds %d: at least 1 is needed", rounds)
	}
	rs, err := measure(ctx, rounds, benchtime, bench)
	if err != nil {
		return err
	}
	rows, broken := rowsOf(tasks(), rs, bench == "")
	versions, err := moduleVersions(ctx, rows)
	if err != nil {
		return err
	}
	text := render(rows, versions) + fmt.Sprintf("\n%s, %s/%s, one core, median of %d rounds.\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, rounds)
	if bench != "" {
		fmt.Print(text)
	} else if err := readme.Rewrite(file, "table", text); err != nil {
		return err
	}
	if len(broken) > 0 {
		return fmt.Errorf("limits exceeded:\n%s", strings.Join(broken, "\n"))
	}
	return nil
}

// measure builds the benchmarks once and runs them round by round.
func measure(ctx context.Context, rounds int, benchtime, bench string) ([]round, error) {
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "peers.test")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("cannot build the benchmarks: %w; run this in the directory of package peers", err)
	}
	if bench == "" {
		bench = "."
	}
	rs := make([]round, 0, rounds)
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		// One processor: on a second one the garbage collector would do work that
		// is not measured, for those who allocate.
		cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench="+bench,
			"-test.benchmem", "-test.benchtime="+benchtime, "-test.cpu=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("benchmarks failed: %w\n%s", err, out)
		}
		r, err := parseRound(out)
		if err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// moduleVersions returns the versions of the modules in the rows, by peer.
func moduleVersions(ctx context.Context, rows []row) (map[string]string, error) {
	versions := map[string]string{}
	for _, r := range rows {
		path, known := modules()[r.peer]
		if !known || versions[r.peer] != "" {
			continue
		}
		out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", path).Output()
		if err != nil {
			return nil, fmt.Errorf("cannot find the version of %s: %w", path, err)
		}
		versions[r.peer] = string(bytes.TrimSpace(out))
	}
	return versions, nil
}
