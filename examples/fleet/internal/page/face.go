package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"sync"
	"time"

	"golang.org/x/text/language"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/internal/translate"
	"github.com/aspupdate/aspupdate/internal/safetext"
)

//go:embed *.html ru.po
var texts embed.FS

// A face is the page in one language.
type face struct {
	name  string
	speak *translate.Language
	html  *template.Template
	mu    sync.Mutex
	kept  []*rendering   // the last one last
	cells map[cell]*node // of the last one
}

// Language returns a language of the page: nil, English, unless it is "ru".
func Language(name string) *translate.Language {
	if name != "ru" {
		return nil
	}
	b, err := texts.ReadFile("ru.po")
	if err != nil {
		panic(err) // it is part of the program
	}
	return translate.New(language.Russian, string(b))
}

func newFaces() map[string]*face {
	all := map[string]*face{}
	for _, name := range []string{"en", "ru"} {
		f := &face{name: name, speak: Language(name)}
		f.html = template.Must(template.New("").Funcs(template.FuncMap{
			"t":    f.text,
			"lang": func() string { return name },
			"name": safetext.Line,
			"enc":  link.Encode,
			"time": machine,
			"css":  f.css,
			"form": newForm,
		}).ParseFS(texts, "*.html"))
		all[name] = f
	}
	return all
}

func faceOf(lang string) *face {
	if lang != "ru" {
		lang = "en"
	}
	return newFaces()[lang]
}

// text returns a text in the language; what is filled in can be hostile.
func (f *face) text(format string, args ...any) string {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = safetext.Line(s)
		}
	}
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return f.speak.Text(safetext.Line(format))
}

// A form is that of a decision.
type form struct {
	rolloutView
	Op, Title string
	Accepts   int
}

func newForm(r rolloutView, op string) form {
	f := form{rolloutView: r, Op: op, Title: map[string]string{"pause": "Pause", "resume": "Resume", "abort": "Abort"}[op]}
	if op == "resume" {
		f.Accepts = r.Accepts
	}
	return f
}

// machine is a time for programs.
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// css is the style of a report, which is a file of its own.
func (f *face) css() (template.CSS, error) {
	b, err := assets.ReadFile("style.css")
	return template.CSS(b), err //nolint:gosec // it is part of the program
}

// markup marks what templates have made.
func markup(s string) template.HTML { return template.HTML(s) } //nolint:gosec // made by templates alone

func (f *face) part(name string, data any) string {
	var b bytes.Buffer
	if err := f.html.ExecuteTemplate(&b, name, data); err != nil {
		return template.HTMLEscapeString(err.Error())
	}
	return b.String()
}

func (f *face) write(w http.ResponseWriter, code int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", f.name)
	w.WriteHeader(code)
	_, _ = w.Write([]byte(f.part(name, data)))
}

// render makes the page: each part is an element whose id is that of its node.
func (f *face) render(v view) *node {
	leaf := func(name, id string, data any) *node { return &node{id: id, open: f.part(name, data)} }
	main := &node{id: "main", open: `<main id="main" tabindex="-1">`, close: "</main>"}
	news := &node{id: "news", open: f.part("news", v)} // a live region stays, its contents change
	main.children = append(main.children, &node{id: "status", open: `<div id="status" role="status" aria-live="polite">`, close: "</div>", children: []*node{news}},
		leaf("trouble", "trouble", v), leaf("decide", "decide", v))
	rollouts := &node{id: "rollouts", open: `<div id="rollouts">`, close: "</div>"}
	for _, r := range v.Rollouts {
		id := "r-" + r.Enc
		rollouts.children = append(rollouts.children, &node{id: id, open: fmt.Sprintf(`<section id="%s" aria-labelledby="%s-title">`, id, id), close: "</section>", children: []*node{
			leaf("rollout", id+"-head", r), leaf("waves", id+"-waves", r), leaf("forms", id+"-forms", r), leaf("log", id+"-log", r),
		}})
	}
	cells := &node{id: "cells", open: `<ul id="cells" class="grid">`, close: "</ul>"}
	old := f.cells // most are as they were
	f.cells = make(map[cell]*node, len(v.Cells))
	for _, c := range v.Cells {
		n := old[c]
		if n == nil {
			n = leaf("cell", "s-"+c.Enc, c)
		}
		f.cells[c] = n
		cells.children = append(cells.children, n)
	}
	facts := &node{id: "facts", open: `<div id="facts">`, close: "</div>"}
	for _, name := range []string{"windows", "silent", "never", "skew", "quarantines", "center"} {
		facts.children = append(facts.children, leaf(name, name, v))
	}
	main.children = append(main.children, rollouts, facts,
		&node{id: "sites", open: `<section id="sites" aria-labelledby="sites-title">`, close: "</section>", children: []*node{leaf("legend", "legend", v), cells}})
	return main
}
