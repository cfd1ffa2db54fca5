//go:build linux

// Command backup compares packages backup and backup/postgres with pg_dump -Fc
// and pg_restore -j2: it starts a PostgreSQL server on loopback that syncs as one
// in earnest does, fills one database with text, JSON and photos and another one by
// pgbench, has both sides do the same work in turns, and rewrites its tables in
// README.md. Run it in the folder of that file:
//
//	apt-get install postgresql
//	GOWORK=off go run ./backup -scale 1  # as large as in the findings, half an hour
//	GOWORK=off go run ./backup           # a quarter of that
//
// Everything lies below -dir, on a disk, and is removed at the end. What is shown
// is the median over the rounds; what is promised is judged by the median of
// the ratios within a round, in which each side begins every other time. Its exit code is
// 1 if a promise is broken; the tables are written all the same.
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

	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A plan is what to do, and how much of it.
type plan struct {
	parent string  // where the files lie
	scale  float64 // of the databases; 1 is that of the findings
	rounds int
}

func main() {
	var p plan
	flag.StringVar(&p.parent, "dir", os.TempDir(), "`folder` on a disk to work in")
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
		return errors.New("rounds are at least one, and the scale is more than nothing")
	}
	before, busy := readme.Load(), ""
	if load, err := strconv.ParseFloat(before, 64); err != nil || load > 0.5 {
		busy = " Others used the machine: these figures tell little, and a quiet one is to be asked again."
	}
	results, version, err := p.hold(ctx)
	if err != nil {
		return err
	}
	vs := judge(results)
	text := render(results) + "\n" + readme.Verdicts(vs) + "\n" + fmt.Sprintf(
		"%s; PostgreSQL %s, fsync on, shared_buffers 128 MB, on a disk; scale %g, median of %d rounds, memory the most of all; load average %s before it began and %s at the end, ours included.%s\n",
		readme.Machine(), version, p.scale, p.rounds, before, readme.Load(), busy)
	if file == "" {
		fmt.Print(text)
	} else if err := readme.Rewrite(file, "backup", text); err != nil {
		return err
	}
	for _, v := range vs {
		if !v.Kept {
			err = errors.Join(err, fmt.Errorf("%s: %s, allowed is %s", v.What, v.Measured, v.Allowed))
		}
	}
	return err
}

// hold holds all rounds on both databases.
func (p plan) hold(ctx context.Context) (results []result, version string, err error) {
	b, err := open(ctx, p.parent)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if version, err = b.text(ctx, "postgres", "SHOW server_version"); err != nil {
		return nil, "", err
	}
	for _, name := range []string{mix, pgbench} {
		fmt.Fprintf(os.Stderr, "%s: filling\n", name)
		if err := b.fill(ctx, name, p.scale); err != nil {
			return nil, "", err
		}
		r := result{name: name}
		size, err := b.text(ctx, name, "SELECT pg_database_size(current_database())")
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
		if err := b.psql(ctx, "postgres", "DROP DATABASE "+name); err != nil {
			return nil, "", err
		}
	}
	return results, version, nil
}
