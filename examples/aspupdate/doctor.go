package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/rollback"
)

// A doctorDoc is what doctor found, in the order of its looking.
type doctorDoc struct {
	Schema   string       `json:"schema"` // aspupdate.doctor/1
	Findings []findingDoc `json:"findings"`
}

type findingDoc struct {
	State string `json:"state"` // ok, warning or fix
	What  string `json:"what"`  // server, tls, space and so on
	Name  string `json:"name,omitempty"`
	Text  string `json:"text"`
}

func (d doctorDoc) print(p *printer) {
	for _, f := range d.Findings {
		p.line("%s %s: %s", p.state(f.State), joined(f.What, f.Name), strings.ReplaceAll(f.Text, "\n", "; ")) // a line each
	}
}

func joined(what, name string) string {
	if name != "" {
		return what + " " + name
	}
	return what
}

// A doctor looks at all that an update will need, and changes nothing.
type doctor struct {
	*site
	st    rollback.Status
	found []findingDoc
	errs  []error
}

func (d *doctor) ok(what, name, format string, args ...any) {
	d.found = append(d.found, findingDoc{"ok", what, name, fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(what, name, format string, args ...any) {
	d.found = append(d.found, findingDoc{"warning", what, name, fmt.Sprintf(format, args...)})
}

// fix notes what must be mended before an update.
func (d *doctor) fix(what, name string, err error) {
	d.found = append(d.found, findingDoc{"fix", what, name, err.Error()})
	d.errs = append(d.errs, err)
}

// either notes that something is well, or why it is not.
func (d *doctor) either(err error, what, name, format string, args ...any) {
	if err != nil {
		d.fix(what, name, err)
		return
	}
	d.ok(what, name, format, args...)
}

// findings end doctor. Their exit code is that of the gravest: the one that
// an update would end with.
type findings struct{ errs []error }

func (f findings) Error() string {
	return fmt.Sprintf("%d to fix before an update; each line that begins with fix says how", len(f.errs))
}

func (f findings) Unwrap() []error { return f.errs }

func runDoctor(ctx context.Context, s *site, _ *cli.Command) error {
	quiet := *s
	quiet.source.Retry.Tries = 1 // somebody waits
	quiet.source.Observe, quiet.show = nil, &printer{out: io.Discard, local: s.show.local}
	d := &doctor{site: &quiet}
	d.server(ctx)
	d.journal()
	d.versions(ctx)
	d.databases(ctx)
	d.programs()
	d.services(ctx)
	d.folders(ctx)
	d.space(ctx)
	d.clock()
	d.machine(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := s.show.answer(doctorDoc{"aspupdate.doctor/1", d.found})
	if len(d.errs) > 0 {
		return errors.Join(findings{d.errs}, err)
	}
	return err
}
