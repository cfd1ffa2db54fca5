//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A round has the times of each way.
type round map[way]times

// A result has the rounds on one site.
type result struct {
	name   string
	bytes  int64 // of the directory and the databases
	rounds []round
}

func (r result) median(of func(round) float64) float64 {
	xs := make([]float64, 0, len(r.rounds))
	for _, rd := range r.rounds {
		xs = append(xs, of(rd))
	}
	return readme.Median(xs)
}

func good(t times) time.Duration     { return t.good }
func operator(t times) time.Duration { return t.operator }
func failing(t times) time.Duration  { return t.failing }
func back(t times) time.Duration     { return t.back }

// limits are the highest allowed ratios of ours to the script with pg_dump -Fc:
// users out in a good update, and from a failure on.
var limits = map[string]struct{ forward, back float64 }{
	"directory": {0.3, 1},
	"mix":       {0.25, 0.10},
	"pgbench":   {1.2, 0.35},
	"twenty":    {0.25, 0.15},
}

// judge compares ours with the script, by the median of the ratios within a round.
func judge(results []result) (vs []readme.Verdict) {
	for _, r := range results {
		against := func(what string, most float64, of func(times) time.Duration) {
			x := r.median(func(rd round) float64 { return of(rd[ours]).Seconds() / of(rd[custom]).Seconds() })
			vs = append(vs, readme.Verdict{
				What: r.name + ": users out, " + what, Measured: readme.Digits(x) + " × the script's time",
				Allowed: "≤ " + readme.Digits(most), Kept: x <= most,
			})
		}
		against("a good update", limits[r.name].forward, good)
		against("from a failure until the previous version serves", limits[r.name].back, back)
	}
	return vs
}

// render returns the results as a Markdown table.
func render(results []result) string {
	var b strings.Builder
	b.WriteString("| site | way | good update | rollback by a person | failing update | of that, the rollback |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for _, r := range results {
		title := fmt.Sprintf("%s, %d MB", r.name, r.bytes/1e6)
		for _, w := range ways {
			fmt.Fprintf(&b, "| %s | %s |", title, w)
			for _, of := range []func(times) time.Duration{good, operator, failing, back} {
				fmt.Fprintf(&b, " %s |", readme.Seconds(r.median(func(rd round) float64 { return of(rd[w]).Seconds() })))
			}
			b.WriteString("\n")
			title = ""
		}
	}
	return b.String()
}
