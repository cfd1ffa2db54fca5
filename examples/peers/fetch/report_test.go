//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// held returns a contest of three rounds, each slower than the one before.
func held(title string, times map[string]time.Duration) result {
	r := result{contest: contest{title: title, bytes: 1 << 20}}
	for name := range times {
		r.ways = append(r.ways, way{name: name})
	}
	for i := range 3 {
		busy := round{}
		for name, d := range times {
			busy[name] = cost{wall: d * time.Duration(i+1), cpu: d, rss: 10 << 20}
		}
		r.rounds = append(r.rounds, busy)
	}
	return r
}

func kept(vs []readme.Verdict) map[string]bool {
	m := map[string]bool{}
	for _, v := range vs {
		m[v.What+" "+v.Allowed] = v.Kept
	}
	return m
}

func TestJudge(t *testing.T) {
	r := held("FTP, 1 MiB", map[string]time.Duration{archive: 1050, raw: 626, curl: 1000, curlHash: 1679})
	require.Equal(t, map[string]bool{
		"FTP, 1 MiB: aspupdate: archive, SHA-256 against curl ≥ 0.95":                         true, // 0.952
		"FTP, 1 MiB: aspupdate: archive, SHA-256 against curl && openssl dgst -sha256 ≥ 1.60": false,
		"FTP, 1 MiB: aspupdate: no hash against curl ≥ 1.60":                                  false, // 1.597
		"aspupdate: archive, SHA-256, memory at any size above ≤ 32 MiB":                      true,
		"aspupdate: no hash, memory at any size above ≤ 32 MiB":                               true,
	}, kept(judge([]result{r})))

	r.rounds[1][raw] = cost{wall: 1, rss: 32<<20 + 1}
	vs := judge([]result{r})
	require.False(t, vs[len(vs)-1].Kept, "the peak of all rounds counts")
	require.Equal(t, "33 MiB", vs[len(vs)-1].Measured)

	vs = judge([]result{held("list 10001, find the newest", map[string]time.Duration{list: 1400, curlList: 1000}),
		held("FTPS, 1 MiB", map[string]time.Duration{archive: 1100, curl: 1000})})
	require.Equal(t, map[string]bool{
		"list 10001, find the newest: aspupdate: list against curl, LIST only ≤ 1.40": true,
		"FTPS, 1 MiB: aspupdate: archive, SHA-256 against curl ≥ 0.90":                true,
		"FTPS, 1 MiB: aspupdate: no hash against curl must run":                       false,
		"aspupdate: archive, SHA-256, memory at any size above ≤ 32 MiB":              true,
	}, kept(vs))
}

func TestParseMemory(t *testing.T) {
	var p plan
	require.NoError(t, p.parseMemory(""))
	require.Empty(t, p.memory)
	require.NoError(t, p.parseMemory("64,4096"))
	require.Equal(t, []int64{64 << 20, 4 << 30}, p.memory)
	for _, bad := range []string{"x", "0", "-1", "1 GiB"} {
		require.Error(t, p.parseMemory(bad), bad)
	}
}

func TestRender(t *testing.T) {
	r := held("FTP, 1 GiB", map[string]time.Duration{curl: 500 * time.Millisecond})
	r.bytes = 1 << 30
	require.Equal(t, `| work | program | time | MB/s | processor | memory, MiB |
| --- | --- | ---: | ---: | ---: | ---: |
| FTP, 1 GiB | `+"`curl`"+` | 1.00 s | 1074 | 0.50 s | 10 |

| promise | measured | allowed | |
| --- | ---: | ---: | --- |
| p | m | a | kept |
| p | m | a | **broken** |
`, render([]result{r}, []readme.Verdict{{What: "p", Measured: "m", Allowed: "a", Kept: true}, {What: "p", Measured: "m", Allowed: "a", Kept: false}}))
}

func TestFirstNumber(t *testing.T) {
	require.Equal(t, "7.88.1", firstNumber("curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1"))
	require.Equal(t, "1.60.1-DEV", firstNumber("rclone v1.60.1-DEV\n- os/version: debian 12"))
	require.Empty(t, firstNumber("no number"))
}
