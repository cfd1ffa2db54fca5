package install

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
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
	on := filepath.Join(t.TempDir(), "on")
	done := make(chan Outcome, 1)
	go func() {
		out, _ := r.Run(t.Context(), fake(t, "print=\x1b[31mначало", "flood=500", "until="+on, "complain=конец"))
		done <- out
	}()
	select {
	case <-first:
	case <-time.After(30 * time.Second):
		t.Error("nothing was shown before the end")
	}
	put(t, on)
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
	w := newSilence(func(s string) { all.WriteString(s) }, "")
	end := process.Follow(path, int64(len("an earlier run\n")), process.LogLimits, w.seen)
	write("half a")
	write(" line")
	end()
	w.end()
	require.Equal(t, "half a line", all.String())
	end = process.Follow(path+"no", 0, process.LogLimits, func([]byte) { t.Error("there is nothing") })
	end()
}
