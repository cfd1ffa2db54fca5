//go:build linux

// Command backup compares packages backup and backup/postgres with pg_dump -Fc
// and pg_restore -j2. It starts a PostgreSQL server on loopback with fsync on,
// fills one database with text, JSON and photos and another one with pgbench,
// runs the same work on both sides in turns, and rewrites its tables in
// README.md. Run it in the directory of that file:
//
//	apt-get install postgresql
//	GOWORK=off go run ./backup -scale 1  # databases of 1.3 and 2.2 GB, half an hour
//	GOWORK=off go run ./backup           # a quarter of that
//
// Its files are below -dir, on a disk, and are removed at the end. The tables show
// medians over the rounds. A promise is checked against the median of the ratios
// within a round; each side begins every other round. The exit code is 1 if a
// promise is broken; the tables are written anyway.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/aspupdate/aspupdate/examples/peers/internal/pg"
	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A plan has the settings of a comparison.
type plan struct {
	parent string  // directory of the files
	scale  float64 // of the databases; 1 is 1.3 and 2.2 GB
	rounds int
}

func main() {
	var p plan
	flag.StringVar(&p.parent, "dir", os.TempDir(), "`directory` on a disk to work in")
	flag.Float64Var(&p.scale, "scale", 0.25, "`factor` of the databases' size; 1 is 1.3 and 2.2 GB")
	flag.IntVar(&p.rounds, "rounds", 5, "`number` of rounds")
	file := flag.String("readme", "README.md", "`file` to rewrite the tables in; empty prints them")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx, *file); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "backup:", err)
		os.Exit(1)
	}
}

func (p plan) run(ctx context.Context, file string) error {
	if p.rounds < 1 || p.scale <= 0 {
		return errors.New("-rounds must be at least 1, and -scale above 0")
	}
	before, busy := readme.Load(), ""
	if load, err := strconv.ParseFloat(before, 64); err != nil || load > 0.5 {
		busy = " The machine was busy: these figures mean little and should be measured again."
	}
	results, version, err := p.hold(ctx)
	if err != nil {
		return err
	}
	vs := judge(results)
	text := render(results) + "\n" + readme.Verdicts(vs) + "\n" + fmt.Sprintf(
		"%s; PostgreSQL %s, fsync on, shared_buffers 128 MB, on a disk; scale %g, median of %d rounds, peak memory; load average %s at the start and %s at the end, including ours.%s\n",
		readme.Machine(), version, p.scale, p.rounds, before, readme.Load(), busy)
	if file == "" {
		fmt.Print(text)
	} else if err := readme.Rewrite(file, "backup", text); err != nil {
		return err
	}
	for _, v := range vs {
		if !v.Kept {
			err = errors.Join(err, fmt.Errorf("%s: %s, allowed: %s", v.What, v.Measured, v.Allowed))
		}
	}
	return err
}

// hold runs all rounds on both databases.
func (p plan) hold(ctx context.Context) (results []result, version string, err error) {
	b, err := open(ctx, p.parent)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if version, err = b.Text(ctx, "postgres", "SHOW server_version"); err != nil {
		return nil, "", err
	}
	for _, name := range []string{pg.Mix, pg.Pgbench} {
		fmt.Fprintf(os.Stderr, "%s: filling\n", name)
		if err := b.Fill(ctx, name, "postgres", p.scale); err != nil {
			return nil, "", err
		}
		r := result{name: name}
		size, err := b.Text(ctx, name, "SELECT pg_database_size(current_database())")
		if err != nil {
			return nil, "", err
		}
		if _, err := fmt.Sscan(size, &r.bytes); err != nil {
			return nil, "", err
		}
		for i := range p.rounds {
			fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", name, i+1, p.rounds)
			rd, err := b.round(ctx, name, i%2 == 0)
			if err != nil {
				return nil, "", fmt.Errorf("%s: %w", name, err)
			}
			r.rounds = append(r.rounds, rd)
		}
		results = append(results, r)
		if err := b.SQL(ctx, "postgres", "DROP DATABASE "+name); err != nil {
			return nil, "", err
		}
	}
	return results, version, nil
}
