package install

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOutputIsShownWhileItRuns(t *testing.T) {
	r, _ := newRunner(t)
	var all strings.Builder
	first := make(chan struct{})
	r.Output = func(text string) {
		if all.Len() == 0 {
			close(first)
		}
		all.WriteString(text)
	}
	done := make(chan Outcome, 1)
	go func() {
		out, _ := r.Run(t.Context(), fake(t, "print=\x1b[31mначало", "flood=500", "sleep=2s", "complain=конец"))
		done <- out
	}()
	select {
	case <-first:
	case <-done:
		t.Error("nothing was shown before the end")
	}
	out := <-done
	require.Equal(t, OK, out.Status)
	text := strings.ReplaceAll(all.String(), "\r", "")
	require.True(t, strings.HasPrefix(text, "[31mначало\n"), "nothing that steers a terminal")
	require.True(t, strings.HasSuffix(text, "x\nконец\n"))
	require.Equal(t, 502, strings.Count(text, "\n"), "all of it, once")
}

func TestOutputOfARunWithoutLineEnds(t *testing.T) {
	path := t.TempDir() + "/log"
	write := func(text string) {
		f, _, err := openLog(path)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	write("an earlier run\n")
	var all strings.Builder
	end := follow(path, int64(len("an earlier run\n")), func(s string) { all.WriteString(s) })
	write("half a")
	write(" line")
	end()
	require.Equal(t, "half a line", all.String())
	end = follow(path+"no", 0, func(string) { t.Error("there is nothing") })
	end()
}
