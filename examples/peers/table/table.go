package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A result is one line of the output of the benchmarks.
type result struct {
	ns     float64
	allocs float64
}

// A round holds the results of all benchmarks, by task and library.
type round map[string]map[string]result

// parseRound reads the output of a test binary. It skips lines without results.
func parseRound(out []byte) (round, error) {
	r := round{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		task, library, found := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "/")
		if !found {
			return nil, fmt.Errorf("benchmark %s has no sub-benchmark for each library", fields[0])
		}
		res := result{allocs: math.NaN()}
		for i := 2; i+1 < len(fields); i += 2 { // after name and iterations: value, unit
			x, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("invalid benchmark line %q: %w", line, err)
			}
			switch fields[i+1] {
			case "ns/op":
				res.ns = x
			case "allocs/op":
				res.allocs = x
			}
		}
		if res.ns == 0 {
			return nil, fmt.Errorf("benchmark line %q has no time", line)
		}
		if r[task] == nil {
			r[task] = map[string]result{}
		}
		r[task][library] = res
	}
	if len(r) == 0 {
		return nil, errors.New("no benchmark ran")
	}
	return r, nil
}

// A row compares this library with one peer in one task.
type row struct {
	title, peer  string
	ours, theirs result
	ratio, limit float64 // 0 is no limit
	first        bool
}

// rowsOf returns the rows for all tasks, and one sentence for each broken limit.
// With all false it skips tasks without a result.
func rowsOf(ts []task, rs []round, all bool) (rows []row, broken []string) {
	known := map[string]bool{}
	for _, t := range ts {
		known[t.bench] = true
		if _, ran := rs[0][t.bench]; ran {
			r, b := t.rows(rs)
			rows, broken = append(rows, r...), append(broken, b...)
		} else if all {
			broken = append(broken, t.bench+": did not run")
		}
	}
	for _, bench := range slices.Sorted(maps.Keys(rs[0])) {
		if !known[bench] {
			broken = append(broken, bench+": not listed in table/tasks.go")
		}
	}
	return rows, broken
}

// rows returns the rows for a task that ran, and its broken limits.
func (t task) rows(rs []round) (rows []row, broken []string) {
	fail := func(format string, args ...any) {
		broken = append(broken, t.bench+": "+fmt.Sprintf(format, args...))
	}
	measured := rs[0][t.bench]
	if _, ran := measured[ours]; !ran {
		fail("%s did not run", ours)
		return nil, broken
	}
	for _, peer := range slices.Sorted(maps.Keys(t.limits)) {
		if _, ran := measured[peer]; !ran {
			fail("%s has a limit and did not run", peer)
		}
	}
	for _, peer := range slices.Sorted(maps.Keys(measured)) {
		if peer == ours {
			continue
		}
		r := t.row(rs, peer)
		r.first = len(rows) == 0
		if r.limit > 0 && r.ratio > r.limit {
			fail("%.3g times %s, at most %g is allowed", r.ratio, peer, r.limit)
		}
		if r.first && !t.allocates && r.ours.allocs != 0 {
			fail("%g allocations, none is allowed", r.ours.allocs)
		}
		rows = append(rows, r)
	}
	return rows, broken
}

// row compares this library with one peer.
func (t task) row(rs []round, peer string) row {
	median := func(of func(r map[string]result) float64) float64 {
		xs := make([]float64, 0, len(rs))
		for _, r := range rs {
			xs = append(xs, of(r[t.bench]))
		}
		return readme.Median(xs)
	}
	library := func(name string) result {
		return result{
			ns:     median(func(r map[string]result) float64 { return r[name].ns }),
			allocs: median(func(r map[string]result) float64 { return r[name].allocs }),
		}
	}
	return row{
		title: t.title, peer: peer, limit: t.limits[peer], ours: library(ours), theirs: library(peer),
		ratio: median(func(r map[string]result) float64 { return r[ours].ns / r[peer].ns }),
	}
}

// render returns the rows as a Markdown table.
func render(rows []row, versions map[string]string) string {
	var b strings.Builder
	b.WriteString("| work | ours | peer | peer's | ours ÷ peer's | at most |\n")
	b.WriteString("| --- | ---: | --- | ---: | ---: | ---: |\n")
	for _, r := range rows {
		title, mine, limit := "", "", ""
		if r.first {
			title, mine = r.title, show(r.ours)
		}
		if r.limit > 0 {
			limit = strconv.FormatFloat(r.limit, 'g', -1, 64)
		}
		name := r.peer
		if path := modules()[r.peer]; path != "" {
			name = strings.TrimPrefix(path, "github.com/") + " " + versions[r.peer]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", title, mine, name, show(r.theirs), digits(r.ratio), limit)
	}
	return b.String()
}

// show returns a time in the unit that fits it, and the allocations.
func show(r result) string {
	unit, x := "ns", r.ns
	switch {
	case x >= 1e6:
		unit, x = "ms", x/1e6
	case x >= 1e4:
		unit, x = "µs", x/1e3
	}
	return fmt.Sprintf("%s %s · %.0f", digits(x), unit, r.allocs)
}

// digits returns a number with about two significant digits and no exponent.
func digits(x float64) string {
	places := 0
	if x < 10 && x > 0 {
		places = 1 - int(math.Floor(math.Log10(x)))
	}
	return strconv.FormatFloat(x, 'f', places, 64)
}
