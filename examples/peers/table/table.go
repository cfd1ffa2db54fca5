package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A result is one line of a benchmark's output.
type result struct {
	ns     float64
	allocs float64
}

// A round holds the results of all benchmarks, by task and library.
type round map[string]map[string]result

// parseRound reads what a test binary prints. Lines that are no results are
// passed over.
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
				return nil, fmt.Errorf("cannot read the benchmark's line %q: %w", line, err)
			}
			switch fields[i+1] {
			case "ns/op":
				res.ns = x
			case "allocs/op":
				res.allocs = x
			}
		}
		if res.ns == 0 {
			return nil, fmt.Errorf("the benchmark's line %q has no time", line)
		}
		if r[task] == nil {
			r[task] = map[string]result{}
		}
		r[task][library] = res
	}
	if len(r) == 0 {
		return nil, fmt.Errorf("no benchmark ran")
	}
	return r, nil
}

// A row compares us with one peer in one task.
type row struct {
	title, peer  string
	ours, theirs result
	ratio, limit float64 // a limit of 0 is none
	first        bool
}

// rowsOf puts the rounds together, and says in words which limits are broken.
// If not all benchmarks were asked for, tasks without a result are passed over.
func rowsOf(ts []task, rs []round, all bool) (rows []row, broken []string) {
	known := map[string]bool{}
	for _, t := range ts {
		known[t.bench] = true
		measured, ran := rs[0][t.bench]
		if !ran {
			if all {
				broken = append(broken, t.bench+": did not run")
			}
			continue
		}
		if _, ran := measured[ours]; !ran {
			broken = append(broken, fmt.Sprintf("%s: %s did not run", t.bench, ours))
			continue
		}
		for peer := range t.limits {
			if _, ran := measured[peer]; !ran {
				broken = append(broken, fmt.Sprintf("%s: %s did not run and has a limit", t.bench, peer))
			}
		}
		first := true
		for _, peer := range slices.Sorted(maps.Keys(measured)) {
			if peer == ours {
				continue
			}
			r := row{title: t.title, peer: peer, limit: t.limits[peer], first: first}
			first = false
			r.ours = result{medianOf(rs, t.bench, ours, ns), medianOf(rs, t.bench, ours, allocs)}
			r.theirs = result{medianOf(rs, t.bench, peer, ns), medianOf(rs, t.bench, peer, allocs)}
			var ratios []float64
			for _, round := range rs {
				ratios = append(ratios, round[t.bench][ours].ns/round[t.bench][peer].ns)
			}
			r.ratio = median(ratios)
			if r.limit > 0 && r.ratio > r.limit {
				broken = append(broken, fmt.Sprintf("%s: %.3g times %s, allowed is %g", t.bench, r.ratio, peer, r.limit))
			}
			if r.first && !t.allocates && r.ours.allocs != 0 {
				broken = append(broken, fmt.Sprintf("%s: %g allocations, allowed are none", t.bench, r.ours.allocs))
			}
			rows = append(rows, r)
		}
	}
	for _, bench := range slices.Sorted(maps.Keys(rs[0])) {
		if !known[bench] {
			broken = append(broken, fmt.Sprintf("%s: is not in table/tasks.go", bench))
		}
	}
	return rows, broken
}

func ns(r result) float64     { return r.ns }
func allocs(r result) float64 { return r.allocs }

func medianOf(rs []round, bench, library string, of func(result) float64) float64 {
	var xs []float64
	for _, r := range rs {
		xs = append(xs, of(r[bench][library]))
	}
	return median(xs)
}

// median returns the middle of xs, which is sorted by it.
func median(xs []float64) float64 {
	slices.Sort(xs)
	if n := len(xs); n%2 == 0 {
		return (xs[n/2-1] + xs[n/2]) / 2
	}
	return xs[len(xs)/2]
}

// render writes the rows as Markdown.
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

// show prints a time with the unit that fits it, and the allocations.
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

// digits prints about two significant digits, and never an exponent.
func digits(x float64) string {
	places := 0
	if x < 10 && x > 0 {
		places = 1 - int(math.Floor(math.Log10(x)))
	}
	return strconv.FormatFloat(x, 'f', places, 64)
}
