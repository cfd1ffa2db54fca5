// Command aspupdate carries out the vendor's update regulation with the
// packages of this module. It is an example, to be read and adapted. Its flags,
// its output and its exit codes are here; how the packages are composed is in
// examples/internal/site, whose doc.go lists the few calls that are internal to
// this module, with what another program uses instead.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() { os.Exit(run()) }

func run() (code int) {
	defer func() {
		// Go exits with 2 after a panic, which is an invalid command line here.
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "aspupdate: internal error: %v\n%s\nnext: aspupdate status, and report this error\n", r, debug.Stack())
			code = exitOther
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer stopOnSignal(cancel)()
	err := app().Run(ctx, os.Args)
	code = exitCode(err)
	if err != nil {
		fmt.Fprintln(os.Stderr, "aspupdate:", err)
		if code != exitNothing {
			fmt.Fprintln(os.Stderr, "state:", exitTable[code].meaning)
		}
		if next := hint(err); next != "" {
			fmt.Fprintln(os.Stderr, "next:", next)
		}
	}
	return code
}

// stopOnSignal calls cancel at the first Ctrl-C or SIGTERM, so that the command
// stops at a safe point, and exits at the second one. The returned function
// stops waiting for signals.
func stopOnSignal(cancel func()) (end func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "aspupdate: stopping at the next safe point, which is the end of the update once an installer has started; press Ctrl-C again to stop immediately and leave the rest to aspupdate recover")
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "aspupdate: stopped immediately\nstate: "+exitTable[exitInterrupted].meaning+"\nnext: aspupdate recover, if an update was running")
		os.Exit(exitInterrupted)
	}()
	return func() { signal.Stop(signals) }
}
