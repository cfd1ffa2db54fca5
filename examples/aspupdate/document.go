package main

import (
	"encoding/json"

	"github.com/aspupdate/aspupdate/rollback"
)

// With --json a command writes exactly one document to standard output, and
// what it says to people goes to standard error. Each document names its
// schema first: fields may be added to a schema, but none is renamed, removed
// or given another meaning without another number. Times are UTC, sizes are
// bytes, durations are seconds.

// A document is what a command answers, to machines as JSON and to people in
// lines.
type document interface{ print(p *printer) }

// answer gives the answer of a command, once.
func (p *printer) answer(d document) error {
	if p.json == nil {
		p.quiet = false
		d.print(p)
		return nil
	}
	p.answered = true
	return p.encode(d, "  ")
}

func (p *printer) encode(d any, indent string) error {
	enc := json.NewEncoder(p.json)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	return enc.Encode(d)
}

// A resultDoc is the document of a command that has no other, and of each one
// that fails before it has an answer.
type resultDoc struct {
	Schema   string           `json:"schema"` // aspupdate.result/1
	Command  string           `json:"command"`
	Code     int              `json:"code"` // the exit code
	Meaning  string           `json:"meaning"`
	Error    string           `json:"error,omitempty"`
	Next     string           `json:"next,omitempty"`    // what to type next
	Update   string           `json:"update,omitempty"`  // of update and recover: its id in the journal
	Outcome  rollback.Outcome `json:"outcome,omitempty"` // and how it ended
	Archived []itemDoc        `json:"archived,omitempty"`
}

// end writes the result of a command that has not answered.
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
	if broken := p.encode(r, "  "); err == nil {
		return broken
	}
	return err
}
