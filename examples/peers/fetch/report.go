//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A result is a contest with its rounds.
type result struct {
	contest
	rounds []round
}

// A limit is a promise about two ways of one contest.
type limit struct {
	ours, peer string
	speed      float64 // lowest allowed ratio of our speed to the peer's
	time       float64 // highest allowed ratio of our time to the peer's
}

// limitsOf returns the promises for the kind of contest.
func limitsOf(r result) []limit {
	switch {
	case strings.HasPrefix(r.title, "FTP,"):
		return []limit{
			{ours: archive, peer: curl, speed: 0.95},
			{ours: archive, peer: curlHash, speed: 1.6},
			{ours: raw, peer: curl, speed: 1.6},
		}
	case strings.HasPrefix(r.title, "FTPS,"):
		return []limit{
			{ours: archive, peer: curl, speed: 0.9},
			{ours: raw, peer: curl, speed: 0.9},
		}
	case strings.HasPrefix(r.title, "list"):
		return []limit{{ours: list, peer: curlList, time: 1.4}}
	}
	return nil
}

// maxMemory is the highest allowed memory of ours, for a file of any size.
const maxMemory = 32 << 20

// judge compares ours with the peers'. It takes the median of the ratios within
// each round, in which all ran one after another.
func judge(results []result) []readme.Verdict {
	var vs []readme.Verdict
	memory := map[string]int64{}
	for _, r := range results {
		for _, l := range limitsOf(r) {
			vs = append(vs, r.judge(l))
		}
		for _, w := range r.ways {
			if r.bytes > 0 && (w.name == archive || w.name == raw) {
				memory[w.name] = max(memory[w.name], r.most(w.name))
			}
		}
	}
	for _, name := range []string{archive, raw} {
		if most := memory[name]; most > 0 {
			vs = append(vs, readme.Verdict{
				What:     name + ", memory at any size above",
				Measured: readme.Mebibytes(most) + " MiB", Allowed: "≤ " + readme.Mebibytes(maxMemory) + " MiB", Kept: most <= maxMemory,
			})
		}
	}
	return vs
}

func (r result) judge(l limit) readme.Verdict {
	var ratios []float64 // of our time to the peer's
	for _, round := range r.rounds {
		ours, ok := round[l.ours]
		theirs, also := round[l.peer]
		if ok && also {
			ratios = append(ratios, float64(ours.wall)/float64(theirs.wall))
		}
	}
	v := readme.Verdict{What: fmt.Sprintf("%s: %s against %s", r.title, l.ours, l.peer)}
	if len(ratios) == 0 {
		v.Measured, v.Allowed = "not run", "must run"
		return v
	}
	ratio := readme.Median(ratios)
	if l.speed > 0 {
		v.Measured, v.Allowed = readme.Digits(1/ratio)+" × its speed", "≥ "+readme.Digits(l.speed)
		v.Kept = 1/ratio >= l.speed
	} else {
		v.Measured, v.Allowed = readme.Digits(ratio)+" × its time", "≤ "+readme.Digits(l.time)
		v.Kept = ratio <= l.time
	}
	return v
}

// most returns the peak memory of a way over all rounds.
func (r result) most(name string) int64 {
	var most int64
	for _, round := range r.rounds {
		most = max(most, round[name].rss)
	}
	return most
}

// render returns the results and the verdicts as Markdown tables.
func render(results []result, vs []readme.Verdict) string {
	var b strings.Builder
	b.WriteString("| work | program | time | MB/s | processor | memory, MiB |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for _, r := range results {
		title := r.title
		for _, w := range r.ways {
			wall := readme.Median(durations(r.rounds, w.name, func(c cost) time.Duration { return c.wall }))
			cpu := readme.Median(durations(r.rounds, w.name, func(c cost) time.Duration { return c.cpu }))
			speed := ""
			if r.bytes > 0 {
				speed = fmt.Sprintf("%.0f", float64(r.bytes)/1e6/wall)
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", title, w.name, readme.Seconds(wall), speed, readme.Seconds(cpu), readme.Mebibytes(r.most(w.name)))
			title = ""
		}
	}
	b.WriteString("\n" + readme.Verdicts(vs))
	return b.String()
}

func durations(rs []round, name string, of func(cost) time.Duration) []float64 {
	xs := make([]float64, 0, len(rs))
	for _, r := range rs {
		xs = append(xs, of(r[name]).Seconds())
	}
	return xs
}

func bytesText(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
