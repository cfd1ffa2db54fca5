//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/peers/internal/pg"
)

// held returns a result with which all promises are just kept.
func held(name string) result {
	rd := round{
		dump: 10 * time.Second, load: 20 * time.Second, dumpSize: 100, stored: 100,
		take:    ours{Stages: map[string]time.Duration{clone: 2500 * time.Millisecond, dump: 3 * time.Second}, Memory: 64 << 20},
		byClone: ours{Took: 5 * time.Second, Stages: map[string]time.Duration{clone: 3 * time.Second}},
		byDump:  ours{Took: 21 * time.Second}, verify: ours{Took: time.Second}, ofDamaged: ours{Took: time.Second},
	}
	return result{name: name, rounds: []round{rd, rd, rd}}
}

func TestJudge(t *testing.T) {
	all := []result{held(pg.Mix), held(pg.Pgbench)}
	vs := judge(all)
	require.Len(t, vs, 15)
	for _, v := range vs {
		require.True(t, v.Kept, "%+v", v)
	}
	worse := map[string]func(*round){
		"dump against pg_dump -Fc":                            func(r *round) { r.take.Stages = map[string]time.Duration{dump: 12 * time.Second} },
		"size against pg_dump -Fc":                            func(r *round) { r.stored = 111 },
		"clone against pg_dump -Fc":                           func(r *round) { r.take.Stages = map[string]time.Duration{clone: 2600 * time.Millisecond} },
		"restore from the clone, without the copy":            func(r *round) { r.byClone.Took += time.Millisecond },
		"restore from the dump against pg_restore -j2":        func(r *round) { r.byDump.Took += time.Second },
		"verify against pg_restore -j2":                       func(r *round) { r.verify.Took += time.Second },
		"verify of a damaged snapshot against pg_restore -j2": func(r *round) { r.ofDamaged.Took += time.Second },
	}
	for what, spoil := range worse {
		for _, name := range []string{pg.Mix, pg.Pgbench} {
			r := held(name)
			spoil(&r.rounds[0]) // one of three does not change the median
			for _, v := range judge([]result{r}) {
				require.True(t, v.Kept, "%+v", v)
			}
			spoil(&r.rounds[1])
			for _, v := range judge([]result{r}) {
				require.Equal(t, v.What != name+": "+what, v.Kept, "%+v", v)
			}
		}
	}
	r := held(pg.Mix)
	r.rounds[2].byDump.Memory = 64<<20 + 1
	vs = judge([]result{r})
	require.False(t, vs[len(vs)-1].Kept, "the peak counts")
	require.Equal(t, "65 MiB", vs[len(vs)-1].Measured)
}

func TestRender(t *testing.T) {
	r := held(pg.Mix)
	r.bytes = 1_343_000_000
	require.Contains(t, render([]result{r}), "| mix, 1343 MB | `pg_dump -Fc` | 10.00 s | 0 |  |\n|  | `aspupdate`: a whole snapshot |")
}
