//go:build linux

// Command downtime compares how long users are out: an update by this library, and
// by a careful script that does what the regulation asks for, with pg_dump,
// pg_restore and cp. It runs a good update, an operator's rollback of it, and an
// update whose installer fails, on sites with a directory and different databases.
// Each side runs them in turns, and the tables in README.md are rewritten. Run it in the
// directory of that file:
//
//	apt-get install postgresql
//	GOWORK=off go run ./downtime -scale 1  # directory of 500 MB, databases of 1.3 and 2.2 GB, twenty of 100 MB: an hour
//	GOWORK=off go run ./downtime           # a quarter of that
//
// What is measured is the time between the last request that was served and the
// first one after it, by a user who asks every few milliseconds. The installers'
// fixed time is taken off, and so is the time that ours is set to watch the health.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aspupdate/aspupdate/examples/peers/internal/pg"
	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A plan has the settings of a comparison.
type plan struct {
	parent string  // directory of the files
	scale  float64 // of all data; 1 is what the package comment says
	rounds int
	only   string // the sites' names, or "" for all
}

func main() {
	var p plan
	flag.StringVar(&p.parent, "dir", os.TempDir(), "`directory` on a disk to work in")
	flag.Float64Var(&p.scale, "scale", 0.25, "`factor` of the data's size")
	flag.IntVar(&p.rounds, "rounds", 5, "`number` of rounds")
	flag.StringVar(&p.only, "site", "", "run these `sites` only, such as mix,pgbench")
	file := flag.String("readme", "README.md", "`file` to rewrite the tables in; empty prints them")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx, *file); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "downtime:", err)
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
	results, err := p.hold(ctx)
	if err != nil {
		return err
	}
	vs := judge(results)
	text := render(results) + "\n" + readme.Verdicts(vs) + "\n" + fmt.Sprintf(
		"%s; PostgreSQL with fsync on, shared_buffers 128 MB, on a disk; scale %g, median of %d rounds; load average %s at the start and %s at the end, including ours.%s\n",
		readme.Machine(), p.scale, p.rounds, before, readme.Load(), busy)
	if file == "" {
		fmt.Print(text)
	} else if err := readme.Rewrite(file, "downtime", text); err != nil {
		return err
	}
	for _, v := range vs {
		if !v.Kept {
			err = errors.Join(err, fmt.Errorf("%s: %s, allowed: %s", v.What, v.Measured, v.Allowed))
		}
	}
	return err
}

// hold runs all rounds on all sites.
func (p plan) hold(ctx context.Context) (results []result, err error) {
	for _, k := range kinds() {
		if p.only != "" && !slices.Contains(strings.Split(p.only, ","), k.name) {
			continue
		}
		r, err := p.site(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("unknown site %q", p.only)
	}
	return results, nil
}

// A kind is what a site consists of besides its directory.
type kind struct {
	name      string
	databases []string
	scale     float64 // of each database
	files     int     // of 256 KiB in the directory
}

func kinds() []kind {
	var twenty []string
	for i := range 20 {
		twenty = append(twenty, fmt.Sprintf("base%02d", i+1))
	}
	return []kind{
		{name: "directory", files: 2000},
		{name: "mix", databases: []string{pg.Mix}, scale: 1, files: 40},
		{name: "pgbench", databases: []string{pg.Pgbench}, scale: 1, files: 40},
		{name: "twenty", databases: twenty, scale: 0.075, files: 40},
	}
}

func (p plan) site(ctx context.Context, k kind) (r result, err error) {
	fmt.Fprintf(os.Stderr, "%s: filling\n", k.name)
	s, err := open(ctx, p, k)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r = result{name: k.name, bytes: s.bytes, rounds: make([]round, p.rounds)}
	for i := range p.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", k.name, i+1, p.rounds)
		r.rounds[i] = round{}
		for j := range ways { // each begins in turn
			w := ways[(i+j)%len(ways)]
			t, err := s.course(ctx, w)
			if err != nil {
				return r, fmt.Errorf("%s: %w", w, err)
			}
			r.rounds[i][w] = t
			fmt.Fprintf(os.Stderr, "  %s: %v, %v, %v, of that %v\n", w, t.good, t.operator, t.failing, t.back) // an hour of work may yet be cut short
		}
	}
	return r, nil
}
