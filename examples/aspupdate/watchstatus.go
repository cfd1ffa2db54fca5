package main

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/aspupdate/aspupdate/internal/safetext"
)

// watchInterval is the time between two screens of status --watch.
const watchInterval = 2 * time.Second

// The control sequences that status --watch uses: a screen of its own, as less and top have, so
// that what was in the terminal before is there again afterwards.
const (
	ownScreen   = "\x1b[?1049h\x1b[?25l"
	usualScreen = "\x1b[?25h\x1b[?1049l"
	screenTop   = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
)

// watchStatus shows the status again and again until the program is stopped, which is not an error.
// The last status stays in the terminal.
func (j *job) watchStatus(ctx context.Context) error {
	if j.show.json != nil || j.cmd.IsSet("metrics") {
		return usage("--watch excludes --json and --metrics, which are for programs")
	}
	out, ok := j.show.out.(*output)
	if !ok || !isTerminal(out) || os.Getenv("TERM") == "dumb" {
		return usage("--watch needs a terminal; without one use --json or --metrics")
	}
	restore, ok := controlled(out.file)
	if !ok {
		return usage("this console cannot be drawn again, so that --watch does not work here; run status again instead")
	}
	defer restore()
	if calm, ok := ctx.Value(calmKey{}).(*atomic.Bool); ok {
		calm.Store(true)
	}
	out.control(ownScreen)
	last, err := j.redrawStatus(ctx, out)
	out.control(usualScreen)
	_, _ = out.Write([]byte(last))
	out.flush(outputPatience) // before the console is restored
	if ctx.Err() != nil {
		err = nil // of a question that was broken off
	}
	return err
}

// redrawStatus returns the last status that it has shown.
func (j *job) redrawStatus(ctx context.Context, out *output) (last string, err error) {
	for ctx.Err() == nil {
		d, _, err := j.state(ctx)
		if err != nil {
			return last, err
		}
		var b strings.Builder
		show := &printer{Clock: j.show.Clock, out: &b, speak: j.show.speak}
		d.print(show)
		last = b.String()
		width, height, err := term.GetSize(int(out.file.Fd()))
		if err != nil || width == 0 || height == 0 { // as a serial line
			width, height = 80, 24
		}
		title := shown(j.show.speak, j.show.Second(time.Now())+"  aspupdate status; Ctrl-C ends it")
		out.control(screenTop)
		for i, line := range screen(title, last, width, height) {
			if i > 0 {
				_, _ = out.Write([]byte("\n"))
			}
			_, _ = out.Write([]byte(line))
			out.control(restOfLine)
		}
		out.control(restBelow)
		select {
		case <-ctx.Done():
		case <-time.After(watchInterval):
		}
	}
	return last, nil
}

// screen returns the lines of a terminal that show a text below a title. Of what is too long the
// end is shown: what is pending and what to do stand there.
func screen(title, text string, width, height int) []string {
	width, height = max(width-1, 1), max(height, 2) // in the last column some terminals begin a new line
	var lines []string
	for line := range strings.Lines(text) {
		line = safetext.Line(strings.TrimSuffix(line, "\n"))
		for utf8.RuneCountInString(line) > width {
			r := []rune(line)
			lines, line = append(lines, string(r[:width])), string(r[width:])
		}
		lines = append(lines, line)
	}
	lines = lines[max(0, len(lines)-height+1):]
	if r := []rune(title); len(r) > width {
		title = string(r[:width])
	}
	return append([]string{title}, lines...)
}

// calmKey is the key of an *atomic.Bool in the context of a command: it is set while stopping the
// program ends nothing that matters, and needs no words.
type calmKey struct{}
