//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/peers/internal/pg"
	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A result has the rounds on one database.
type result struct {
	name   string
	bytes  int64 // of the database on the server
	rounds []round
}

// Stages of our work, as the library names them.
const (
	clone = "clone"
	dump  = "dump"
	load  = "load"
)

// median returns the median over the rounds.
func (r result) median(of func(round) float64) float64 {
	xs := make([]float64, 0, len(r.rounds))
	for _, rd := range r.rounds {
		xs = append(xs, of(rd))
	}
	return readme.Median(xs)
}

func ratio(a, b time.Duration) float64 { return a.Seconds() / b.Seconds() }

// The highest allowed ratios of ours to the peer's, and other limits.
const (
	maxDump      = 0.30 // of the time of pg_dump -Fc, on mixed data
	maxSizeMix   = 1.0
	maxSizeBench = 1.1
	maxClone     = 0.25 // of the time of pg_dump -Fc
	maxSwap      = 2.0  // seconds, without the copy
	maxRestore   = 1.05 // of the time of pg_restore -j2
	maxVerify    = 0.05 // of the same
	maxMemory    = 64 << 20
)

// withoutCopy returns the time of a restore from the clone, without the copy on
// the server.
func withoutCopy(rd round) float64 { return (rd.byClone.Took - rd.byClone.Stages[clone]).Seconds() }

// judge compares ours with the peer's, by the median of the ratios within a round.
func judge(results []result) (vs []readme.Verdict) {
	var memory int64
	for _, r := range results {
		times := func(what string, most float64, of func(round) float64, unit string) {
			x := r.median(of)
			vs = append(vs, readme.Verdict{What: r.name + ": " + what, Measured: figure(x) + unit, Allowed: "≤ " + figure(most), Kept: x <= most})
		}
		size := func(rd round) float64 { return float64(rd.stored) / float64(rd.dumpSize) }
		if r.name == pg.Mix {
			times("dump against pg_dump -Fc", maxDump, func(rd round) float64 { return ratio(rd.take.Stages[dump], rd.dump) }, " × its time")
			times("size against pg_dump -Fc", maxSizeMix, size, " × its size")
		} else {
			times("dump against pg_dump -Fc", maxSizeBench, func(rd round) float64 { return ratio(rd.take.Stages[dump], rd.dump) }, " × its time")
			times("size against pg_dump -Fc", maxSizeBench, size, " × its size")
		}
		times("clone against pg_dump -Fc", maxClone, func(rd round) float64 { return ratio(rd.take.Stages[clone], rd.dump) }, " × its time")
		times("restore from the clone, without the copy", maxSwap, withoutCopy, " s")
		times("restore from the dump against pg_restore -j2", maxRestore, func(rd round) float64 { return ratio(rd.byDump.Took, rd.load) }, " × its time")
		times("verify against pg_restore -j2", maxVerify, func(rd round) float64 { return ratio(rd.verify.Took, rd.load) }, " × its time")
		times("verify of a damaged snapshot against pg_restore -j2", maxVerify, func(rd round) float64 { return ratio(rd.ofDamaged.Took, rd.load) }, " × its time")
		for _, rd := range r.rounds {
			for _, o := range []ours{rd.take, rd.verify, rd.ofDamaged, rd.byClone, rd.byDump} {
				memory = max(memory, o.Memory)
			}
		}
	}
	return append(vs, readme.Verdict{
		What: "peak memory of our process", Measured: readme.Mebibytes(memory) + " MiB",
		Allowed: "≤ " + readme.Mebibytes(maxMemory) + " MiB", Kept: memory <= maxMemory,
	})
}

// figure returns a ratio with two decimals, or three if it is small.
func figure(x float64) string {
	if x < 0.1 {
		return fmt.Sprintf("%.3f", x)
	}
	return readme.Digits(x)
}

// render returns the results as a Markdown table.
func render(results []result) string {
	var b strings.Builder
	b.WriteString("| database | work | time | MB stored | memory, MiB |\n| --- | --- | ---: | ---: | ---: |\n")
	for _, r := range results {
		title := fmt.Sprintf("%s, %d MB", r.name, r.bytes/1e6)
		row := func(work string, took func(round) time.Duration, size func(round) int64, o func(round) ours) {
			stored, memory := "", ""
			if size != nil {
				stored = fmt.Sprintf("%.0f", r.median(func(rd round) float64 { return float64(size(rd)) / 1e6 }))
			}
			if o != nil {
				var most int64
				for _, rd := range r.rounds {
					most = max(most, o(rd).Memory)
				}
				memory = readme.Mebibytes(most)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", title, work, readme.Seconds(r.median(func(rd round) float64 { return took(rd).Seconds() })), stored, memory)
			title = ""
		}
		take := func(rd round) ours { return rd.take }
		row("`pg_dump -Fc`", func(rd round) time.Duration { return rd.dump }, func(rd round) int64 { return rd.dumpSize }, nil)
		row("`aspupdate`: a whole snapshot", func(rd round) time.Duration { return rd.take.Took }, func(rd round) int64 { return rd.stored }, take)
		row("…, of that the clone", func(rd round) time.Duration { return rd.take.Stages[clone] }, nil, nil)
		row("…, of that the dump, with its SHA-256", func(rd round) time.Duration { return rd.take.Stages[dump] }, nil, nil)
		row("`CREATE DATABASE`, `pg_restore -j2`", func(rd round) time.Duration { return rd.load }, nil, nil)
		row("`aspupdate`: verified and restored from the dump, compared, swapped", func(rd round) time.Duration { return rd.byDump.Took }, nil, func(rd round) ours { return rd.byDump })
		row("…, of that pg_restore and ANALYZE", func(rd round) time.Duration { return rd.byDump.Stages[load] }, nil, nil)
		row("`aspupdate`: the same from the clone", func(rd round) time.Duration { return rd.byClone.Took }, nil, func(rd round) ours { return rd.byClone })
		row("…, of that the copy on the server", func(rd round) time.Duration { return rd.byClone.Stages[clone] }, nil, nil)
		row("`aspupdate`: verify", func(rd round) time.Duration { return rd.verify.Took }, nil, func(rd round) ours { return rd.verify })
		row("`aspupdate`: verify, the last bit flipped", func(rd round) time.Duration { return rd.ofDamaged.Took }, nil, func(rd round) ours { return rd.ofDamaged })
	}
	return b.String()
}
