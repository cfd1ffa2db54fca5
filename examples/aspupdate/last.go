package main

import (
	"cmp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aspupdate/aspupdate/internal/safetext"
	"github.com/aspupdate/aspupdate/rollback"
)

// An endedDoc is what an update that has ended did to one distribution.
type endedDoc struct {
	Distribution string           `json:"distribution"`
	Update       string           `json:"update"`
	From         string           `json:"from"` // the version before; "" if nothing was installed
	To           string           `json:"to"`
	Reverts      string           `json:"back,omitempty"` // the update that an operator's rollback took back
	Outcome      rollback.Outcome `json:"outcome"`
	Ended        time.Time        `json:"ended"`
	Out          float64          `json:"out"` // how long users were kept out, seconds; 0 if they never were
}

// lastEnded returns the last n ended updates of each distribution, newest first.
func lastEnded(history []rollback.HistoryEntry, n int) []endedDoc {
	list := []endedDoc{}
	count := map[string]int{}
	for _, h := range slices.Backward(history) {
		if !ended(h) {
			continue
		}
		for _, part := range h.Parts {
			if part.Keep || count[part.Name] == n {
				continue
			}
			count[part.Name]++
			list = append(list, endedDoc{
				Distribution: part.Name, Update: h.Update, From: string(part.From.Version), To: string(part.To.Version), Reverts: h.Reverts,
				Outcome: h.Outcome, Ended: h.Ended, Out: max(0, h.Opened.Sub(h.Closed).Seconds()),
			})
		}
	}
	slices.SortStableFunc(list, func(a, b endedDoc) int { return cmp.Compare(a.Distribution, b.Distribution) })
	return list
}

// printEnded prints ended updates as a table.
func printEnded(p *printer, list []endedDoc) {
	if len(list) == 0 {
		p.line("no update has ended yet")
		return
	}
	rows := [][]string{{"distribution", "ended", "update", "outcome", "users out"}}
	for _, e := range list {
		outcome, out := string(e.Outcome), "not kept out"
		if e.Reverts != "" {
			outcome = "rollback: " + outcome
		}
		if e.Out > 0 {
			out = span(time.Duration(e.Out * float64(time.Second)))
		}
		rows = append(rows, []string{e.Distribution, p.Time(e.Ended), cmp.Or(e.From, p.speak.Text("nothing")) + " -> " + e.To, outcome, out})
	}
	p.table(rows)
}

// table prints rows of cells, below a first row of titles.
func (p *printer) table(rows [][]string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, row := range rows {
		for j, cell := range row {
			cell = safetext.Line(shown(p.speak, cell))
			if i == 0 {
				cell = strings.ToUpper(cell)
			}
			if j > 0 {
				cell = "\t" + cell
			}
			_, _ = w.Write([]byte(cell))
		}
		_, _ = w.Write([]byte("\n"))
	}
	_ = w.Flush() // a Builder does not fail
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(b.String()) {
		p.print("", "", strings.TrimRight(line, " \n"))
	}
}
