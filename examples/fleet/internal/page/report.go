package page

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/internal/safetext"
)

// A Report is a rollout with each of its sites, as a file.
type Report struct {
	Rollout *rollout.Rollout
	Sites   []center.SiteState
	At      time.Time
	Zone    *time.Location // nil is Moscow's
	Lang    string
}

// columns are those of the table of sites, in HTML and in CSV.
var columns = []string{"Site", "Wave", "State", "Since", "Starts", "Rolled back with", "Joins later because", "Installed", "In quarantine"}

func (r Report) rows(f *face) (all [][]string) {
	p := &Page{Zone: r.Zone}
	known := map[string]*rollout.Heard{}
	for _, s := range r.Sites {
		known[s.ID] = s.Heard
	}
	for _, m := range r.Rollout.Members {
		state := string(m.State)
		if m.Silent {
			state = "no outcome"
		}
		row := []string{safetext.Line(m.ID), strconv.Itoa(m.Wave + 1), f.text(state), f.text(p.here(m.Since)), strconv.Itoa(m.Attempts), safetext.Line(m.Code), f.text("%s", m.Straggler), "", ""}
		if h := known[m.ID]; h != nil {
			var installed, back []string
			for _, c := range h.Committed {
				installed = append(installed, safetext.Line(c.String()))
			}
			for _, q := range h.Quarantined {
				back = append(back, safetext.Line(q.Release.String()))
			}
			row[7], row[8] = strings.Join(installed, ", "), strings.Join(back, ", ")
		}
		all = append(all, row)
	}
	return all
}

// HTML writes the report as a file that needs no other.
func (r Report) HTML(w io.Writer) error { return r.html(w, faceOf(r.Lang), true) }

func (r Report) html(w io.Writer, f *face, inline bool) error {
	p := &Page{Zone: r.Zone}
	var log []logLine
	for _, e := range r.Rollout.Log {
		log = append(log, logLine{p.here(e.Time), e.Text})
	}
	_, err := io.WriteString(w, f.part("report", map[string]any{
		"R": p.rolloutView(r.Rollout), "AtText": p.here(r.At), "Canaries": r.Rollout.Plan.Canaries, "Cap": r.Rollout.Plan.Cap,
		"Log": log, "Columns": columns, "Rows": r.rows(f), "Inline": inline,
	}))
	return err
}

// CSV writes the sites of the report as a table for spreadsheets: UTF-8 with its mark,
// and semicolons in Russian, as they expect. No cell is a formula there. All cells are
// quoted, as a program that expects the other separator would else find more cells.
func (r Report) CSV(w io.Writer) error { return r.csv(w, faceOf(r.Lang)) }

func (r Report) csv(w io.Writer, f *face) error {
	separator := ","
	if f.name == "ru" {
		separator = ";"
	}
	var b bytes.Buffer
	b.WriteString("\uFEFF")
	line := func(cells []string) {
		for i, c := range cells {
			if i > 0 {
				b.WriteString(separator)
			}
			b.WriteString(`"` + strings.ReplaceAll(inert(c), `"`, `""`) + `"`)
		}
		b.WriteString("\r\n")
	}
	var head []string
	for _, c := range columns {
		head = append(head, f.text(c))
	}
	line(head)
	for _, row := range r.rows(f) {
		line(row)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// inert returns a cell that no spreadsheet takes for a formula, in full width too.
func inert(cell string) string {
	if rest := strings.TrimSpace(cell); rest != "" && strings.ContainsRune("=+-@|%'＝＋－＠", []rune(rest)[0]) {
		return "'" + cell
	}
	return cell
}

// report serves the report of a rollout.
func (p *Page) report(w http.ResponseWriter, r *http.Request, f *face) {
	id, err := link.Decode(r.PathValue("rollout"))
	format := r.PathValue("format")
	if err != nil || !slices.Contains([]string{"html", "csv"}, format) {
		f.fail(w, http.StatusNotFound, "rollout not found")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	a, err := p.Ask(ctx, center.Command{Op: "status", Rollout: id})
	if err != nil { // which says so if it does not exist
		f.fail(w, http.StatusBadGateway, err.Error())
		return
	}
	if len(a.Rollouts) != 1 {
		f.fail(w, http.StatusNotFound, "rollout not found")
		return
	}
	p.read(ctx, time.Second)
	s := p.watch.last()
	report := Report{Rollout: a.Rollouts[0], Sites: s.answer.Sites, At: s.at, Zone: p.Zone}
	if format == "html" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = report.html(w, f, false)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="rollout.csv"`)
	_ = report.csv(w, f)
}
