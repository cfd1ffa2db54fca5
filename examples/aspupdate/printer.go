package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/lang"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/safetext"
	"github.com/aspupdate/aspupdate/rollback"
)

// A printer prints events for people, a line each.
type printer struct {
	site.Clock
	out   io.Writer
	quiet bool // print only answers
	speak *lang.Language

	mu       sync.Mutex // guards all that follows, and out: a backup reports from its own goroutines
	bar      bool       // the terminal's last line is a progress line
	reported time.Time  // when progress was last printed, where there is no terminal

	steps      []*runningStep // what has begun and not ended, see running.go
	ticking    bool           // something shows them
	progressed time.Time      // when progress was last reported

	json     io.Writer // with --json: for the document; out is then for everything else
	answered bool
	done     resultDoc // what is known of the result so far
}

// newPrinter returns a printer for the flags that all commands have.
func newPrinter(cmd *cli.Command) *printer {
	p := &printer{out: cmd.Root().Writer, quiet: cmd.Bool("quiet")}
	p.speak, _ = cmd.Root().Metadata[speaking].(*lang.Language)
	if cmd.Bool("json") {
		p.json, p.out = p.out, cmd.Root().ErrWriter
	}
	return p
}

// line prints a line. What is in it may come from a server, a database, a file or
// a child process: it cannot steer a terminal, and a line feed in it begins no
// line of ours.
func (p *printer) line(format string, args ...any) { p.colored("", "", format, args...) }

// colored prints a line that begins with text in a color, if there is one.
func (p *printer) colored(color, text, format string, args ...any) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(color, text, shown(p.speak, fmt.Sprintf(format, args...)))
}

// list is [printer.colored] for a line with a list in it: a long one is broken into several.
func (p *printer) list(color, text, format string, args ...any) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(color, text, folded(shown(p.speak, fmt.Sprintf(format, args...))))
}

// folded breaks a long line between the entries of its lists.
func folded(line string) string {
	const most, width = 200, 100
	if utf8.RuneCountInString(line) <= most {
		return line
	}
	var b strings.Builder
	column := 0
	for entry := range strings.SplitAfterSeq(line, " ") {
		n := utf8.RuneCountInString(entry)
		if before := b.String(); column+n > width && (strings.HasSuffix(before, ", ") || strings.HasSuffix(before, "; ") || strings.HasSuffix(before, ": ")) {
			b.WriteByte('\n')
			column = 0
		}
		b.WriteString(entry)
		column += n
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

// print prints a line in the reader's language. The caller has locked mu.
func (p *printer) print(color, text, line string) {
	if p.bar {
		p.control(fmt.Sprintf("\r%*s\r", barWidth, ""))
		p.bar = false
	}
	line = safetext.Indented(line, indent) + "\n"
	if color != "" {
		p.control("\x1b[" + color + "m" + text + "\x1b[0m")
		text = ""
	}
	_, _ = io.WriteString(p.out, text+line) // see output
}

// indent begins what continues a line.
const indent = "          "

// control writes what steers the terminal, which output keeps out of all else.
func (p *printer) control(sequence string) {
	if o, ok := p.out.(*output); ok {
		o.control(sequence)
	}
}

const barWidth = 78

// progress prints one line that changes on a terminal, and a line every 30
// seconds elsewhere.
func (p *printer) progress(text string) {
	text = safetext.Line(shown(p.speak, text))
	if isTerminal(p.out) && !p.quiet {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.progressed = time.Now()
		p.rewrite(text)
	} else if p.due(time.Now()) {
		p.line("%s%s", indent, text)
	}
}

// rewrite shows a text in the terminal's last line, in place of the one before. The caller has locked mu.
func (p *printer) rewrite(text string) {
	text = indent + safetext.Line(text)
	if r := []rune(text); len(r) > barWidth { // a longer line would wrap and stay
		text = string(r[:barWidth])
	}
	begin, end := "\r", ""
	if color := p.color("running"); color != "" {
		begin, end = "\r\x1b["+color+"m", "\x1b[0m"
	}
	p.control(begin)
	_, _ = fmt.Fprintf(p.out, "%-*s", barWidth, text)
	p.control(end)
	p.bar = true
}

// due reports whether it is time for a line of progress: 30 seconds after the previous
// one; the first one is not printed.
func (p *printer) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.reported.IsZero()
	if !first && now.Sub(p.reported) < 30*time.Second {
		return false
	}
	p.reported = now
	return !first
}

func isTerminal(stream any) bool {
	if o, ok := stream.(*output); ok {
		stream = o.file
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks on a terminal whether to continue with the plan that was shown,
// and returns rollback.ErrRefused if the answer is not yes. Without a terminal
// it returns nil.
func (p *printer) confirm(ctx context.Context, in io.Reader) error {
	if p.quiet || !isTerminal(in) || !isTerminal(p.out) {
		return nil
	}
	_, _ = fmt.Fprint(p.out, shown(p.speak, "continue with this plan? [y/N]")+" ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // an end of file is not a yes
		answer <- line
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-answer:
		if yes := strings.ToLower(strings.TrimSpace(line)); slices.Contains([]string{"y", "yes", "д", "да"}, yes) {
			return nil
		}
		return fmt.Errorf("%w: the plan was not confirmed; answer y, or run it with --yes", rollback.ErrRefused)
	}
}

// color returns the color of a finding's state, or of what is running, on a terminal, unless NO_COLOR is
// set (no-color.org).
func (p *printer) color(state string) string {
	old := runtime.GOOS == "windows" && os.Getenv("WT_SESSION") == "" // such a console prints the escape codes
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || old || !isTerminal(p.out) {
		return ""
	}
	return map[string]string{"ok": "32", "warning": "33", "fix": "31", "running": "2"}[state] // dim: it does not stay
}

// state returns the first word of a finding, as wide as the longest of them.
func (p *printer) state(state string) string {
	width := 0
	for _, s := range []string{"ok", "warning", "fix"} {
		width = max(width, utf8.RuneCountInString(p.speak.Text(s)))
	}
	return fmt.Sprintf("%-*s", max(width, 8), p.speak.Text(state))
}

// observe prints the events of a site.
func (p *printer) observe() site.Observe {
	return site.Observe{
		Archive: p.archive, Backup: p.backup, Rollback: p.rollback,
		Output:   p.printed,
		Find:     func(e fetch.Event) { p.line("          %s", e.Text) },
		Server:   func(e fetch.Event) { p.line("          %s", e.Text) },
		Watch:    func(e fetch.Event) { p.line("%s  %s", p.Second(e.Time), e.Text) },
		Install:  func(e install.Event) { p.line("          %s", e.Text) },
		Replaced: func(err error) { p.line("          %v", err) },
		Warn:     func(text string) { p.line("%s", text) },
	}
}

func (p *printer) rollback(e rollback.Event) {
	p.follow(e)
	if e.Kind == rollback.EventBegin {
		return // the step's end is printed
	}
	p.line("%s  %s", p.Second(e.Time), e)
}

func (p *printer) backup(e backup.Event) {
	switch e.Kind {
	case backup.EventSealed, backup.EventRemove: // the events that follow show it
	case backup.EventWarning:
		p.line("          %s", e.Text)
	default:
		p.progress(e.Text)
	}
}

func (p *printer) archive(e archive.Event) {
	switch e.Kind {
	case archive.EventResumed, archive.EventRestarted, archive.EventPruned: // the events that follow show it
	case archive.EventProgress:
		p.progress(e.Text)
	case archive.EventArchived, archive.EventReused:
		p.done.Archived = append(p.done.Archived, newItemDoc(e.Item))
		fallthrough
	default:
		p.line("          %s", e.Text)
	}
}

func (p *printer) result(r rollback.Result) {
	p.done.Update, p.done.Outcome = r.Update, r.Outcome
	if text := ending(r.Outcome, r.Plan.Revert != nil); text != "" {
		p.line("%s", text)
	}
}

// ending says what an outcome means; "" where the error says it.
func ending(outcome rollback.Outcome, back bool) string {
	switch {
	case outcome == rollback.Committed && back:
		return "committed: the restored version and its data are in place; what was entered since is set aside, see aspupdate status"
	case outcome == rollback.Committed:
		return "committed: the new version and its data are in place"
	case outcome == rollback.RolledBack && back:
		return "rolled back: the rollback failed; the version and the data from before it are in place"
	case outcome == rollback.RolledBack:
		return "rolled back: the previous version and its data are in place"
	}
	return ""
}
