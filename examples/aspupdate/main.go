// Command aspupdate carries out the vendor's update regulation with the
// packages of this module. It is an example, to be read and adapted. Its flags,
// its output and its exit codes are here; how the packages are composed is in
// examples/internal/site, whose doc.go lists the few calls that are internal to
// this module, with what another program uses instead.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/aspupdate/aspupdate/internal/safetext"
)

func main() { os.Exit(run()) }

func run() (code int) {
	speak, invalid := speaks(os.Args[1:])
	defer unicodeConsole()()
	out, errs := newOutput(os.Stdout), newOutput(os.Stderr)
	say := func(text string) { _, _ = fmt.Fprintln(errs, shown(speak, text)) }
	defer func() {
		// Go exits with 2 after a panic, which is an invalid command line here.
		if r := recover(); r != nil {
			say(fmt.Sprintf("aspupdate: internal error: %v\n%s\nnext: aspupdate status, and report this error", r, debug.Stack()))
			code = exitOther
		}
		errs.flush(outputPatience)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	calm := new(atomic.Bool)
	ctx = context.WithValue(ctx, calmKey{}, calm)
	defer stopOnSignal(cancel, errs, say, calm)()
	root := app(speak)
	help := len(os.Args) < 2 || slices.ContainsFunc(os.Args[1:], func(arg string) bool {
		return slices.Contains([]string{"help", "h", "--help", "-h", "--version", "-v"}, arg)
	})
	if help {
		out.answer()
	}
	root.Writer, root.ErrWriter = out, errs
	if help && speak != nil {
		root.Writer = helpWriter{out, speak}
	}
	err := invalid
	if err == nil {
		err = root.Run(ctx, os.Args)
	}
	out.flush(outputPatience) // before the error, on a terminal
	if help && err == nil {
		err = out.answered()
	}
	code = exitCode(err)
	if _, silent := errors.AsType[stated](err); err != nil && !silent {
		_, _ = fmt.Fprintln(errs, "aspupdate:", safetext.Indented(shown(speak, cause(err)), "  "))
		if code != exitNothing {
			say("state: " + state(err))
		}
		if next := hint(err); next != "" {
			say("next: " + safetext.Line(next))
		}
	}
	return code
}

// programVersion returns the version of this program's module.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// buildVersion returns the version of this program, with the commit and its date where the build
// recorded them.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	of := map[string]string{}
	for _, s := range info.Settings {
		of[s.Key] = s.Value
	}
	text := programVersion()
	if commit := of["vcs.revision"]; commit != "" {
		text += ", commit " + commit[:min(12, len(commit))] + after(" of ", of["vcs.time"])
		if of["vcs.modified"] == "true" {
			text += ", with changes"
		}
	}
	return text + ", " + info.GoVersion + " " + of["GOOS"] + "/" + of["GOARCH"]
}

// stopOnSignal calls cancel at the first Ctrl-C, SIGTERM or SIGHUP, so that the
// command stops at a safe point, and exits at the next Ctrl-C or SIGTERM. A
// terminal that is closed sends SIGHUP, at times more than once; it never stops
// the program immediately. What is calm stops without words. The returned function stops waiting
// for signals.
func stopOnSignal(cancel func(), errs *output, say func(string), calm *atomic.Bool) (end func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	// With a receiver, writing to a broken pipe is an error and no end of this
	// process. Ignoring the signal would make every child ignore it, too.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	go func() {
		<-signals
		cancel()
		if !calm.Load() {
			say("aspupdate: stopping at the next safe point, which is the end of the update once an installer has started; press Ctrl-C again to stop immediately and leave the rest to aspupdate recover")
		}
		for s := range signals {
			if s != syscall.SIGHUP {
				break
			}
		}
		say("aspupdate: stopped immediately\nstate: " + exitTable[exitInterrupted].meaning + "\nnext: aspupdate recover, if an update was running")
		errs.flush(outputPatience)
		os.Exit(exitInterrupted)
	}()
	return func() { signal.Stop(signals) }
}
