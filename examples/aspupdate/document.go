package main

import (
	"errors"
	"io"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/rollback"
)

// With --json a command prints exactly one document to standard output, and
// everything else to standard error. The first field of a document is its
// schema: fields may be added to a schema, but none is renamed, removed or given
// another meaning without another number. Times are UTC, sizes are bytes,
// durations are seconds.

// A document is the answer of a command: JSON for programs, lines for people.
type document interface{ print(p *printer) }

// answer prints the answer of a command, once.
func (p *printer) answer(d document) error {
	if p.json == nil {
		p.quiet = false
		return waiting(p.out, func() error { d.print(p); return nil })
	}
	p.answered = true
	return p.encode(d, "  ")
}

func (p *printer) encode(d any, indent string) error {
	text, err := strict.JSON(d, indent)
	if err != nil {
		return err
	}
	return waiting(p.json, func() error {
		_, err := p.json.Write(text)
		return err
	})
}

// waiting prints an answer, and waits for its reader.
func waiting(w io.Writer, print func() error) error {
	o, ok := w.(*output)
	if !ok {
		return print()
	}
	o.answer()
	return errors.Join(print(), o.answered())
}

// A resultDoc is the document of a command that has no other document, and of
// each command that fails before it has an answer.
type resultDoc struct {
	Schema   string           `json:"schema"` // aspupdate.result/1
	Command  string           `json:"command"`
	Code     int              `json:"code"` // the exit code
	Meaning  string           `json:"meaning"`
	Error    string           `json:"error,omitempty"`
	Next     string           `json:"next,omitempty"`    // what to type next
	Update   string           `json:"update,omitempty"`  // of update and recover: the ID in the journal
	Outcome  rollback.Outcome `json:"outcome,omitempty"` // and how it ended
	Archived []itemDoc        `json:"archived,omitempty"`
}

// end prints the result of a command that has printed no answer.
func (p *printer) end(command string, err error) error {
	if p.json == nil || p.answered {
		return err
	}
	r := p.done
	r.Schema, r.Command = "aspupdate.result/1", command
	r.Code = exitCode(err)
	r.Meaning, r.Next = exitTable[r.Code].meaning, hint(err)
	if err != nil {
		r.Error = err.Error()
	}
	_ = p.encode(r, "  ") // what was done counts, not whether it could be printed
	return err
}
