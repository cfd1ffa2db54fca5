package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/lang"
)

// manCommand returns the command that prints the manual page, for those who make packages.
func manCommand() *cli.Command {
	return &cli.Command{
		Name: "man", Usage: "print the manual page", Hidden: true,
		Action: alone(func(_ context.Context, show *printer, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return configured(cmd, err)
			}
			return show.answer(manDoc{manPage(cmd.Root(), show.speak)})
		}),
	}
}

// A manDoc is the manual page.
type manDoc struct{ page string }

func (d manDoc) print(p *printer) { _, _ = io.WriteString(p.out, d.page) }

// manPage returns the manual page in roff: what the help of each command prints, and no more. It is
// written here because the makers of such pages for the library of the command line know neither our
// groups of commands nor languages.
func manPage(root *cli.Command, speak *lang.Language) string {
	m := &roff{speak: speak}
	m.WriteString(`.TH ASPUPDATE 1 "" "` + roffText(root.Name+" "+programVersion()) + "\"\n")
	m.section("Name")
	m.text(root.Name + " - " + root.Usage)
	m.section("Synopsis")
	synopsis, hint, _ := strings.Cut(speak.Text(synopsis), "; ")
	m.text(synopsis)
	m.paragraph(hint)
	m.section("Commands")
	above := ""
	for _, c := range root.VisibleCommands() {
		if c.Name == "help" || c.Name == "completion" {
			continue
		}
		if title, _ := c.Metadata[grouped].(string); title != above {
			above = title
			m.WriteString(".SS " + roffText(speak.Text(title)) + "\n")
		}
		m.command(c, root.Name)
	}
	m.section("Options")
	for _, f := range append(commonFlags(root), root.Flags...) {
		if f.Names()[0] != "version" { // which the library of the command line adds
			m.flag(f)
		}
	}
	m.section("Exit codes")
	for code, exit := range exitTable {
		m.tagged(fmt.Sprintf(`\fB%d\fR`, code), speak.Text(exit.meaning))
	}
	m.section("Environment")
	m.tagged(`\fBASPUPDATE_CONFIG\fR`, speak.Text("the TOML file that describes the installation"))
	m.tagged(`\fBLC_ALL\fR, \fBLC_MESSAGES\fR, \fBLANG\fR`, speak.Text("the language of messages: en or ru"))
	m.tagged(`\fBNO_COLOR\fR`, speak.Text("no colors"))
	m.section("See also")
	m.text("https://github.com/aspupdate/aspupdate/tree/main/examples/aspupdate")
	return m.String()
}

// everywhere has the names of the flags that all commands have. The page shows them once.
var everywhere = []string{"config", "quiet", "json"}

// commonFlags returns them, as the first command has them.
func commonFlags(root *cli.Command) (flags []cli.Flag) {
	for _, c := range root.Commands {
		if c.Action == nil || c.Name == "demo" {
			continue
		}
		for _, f := range c.Flags {
			if slices.Contains(everywhere, f.Names()[0]) {
				flags = append(flags, f)
			}
		}
		break
	}
	return flags
}

// A roff writes a manual page.
type roff struct {
	strings.Builder
	speak *lang.Language
}

func (m *roff) section(title string) {
	m.WriteString(".SH " + roffText(strings.ToUpper(m.speak.Text(title))) + "\n")
}

func (m *roff) text(text string) { m.WriteString(roffText(text) + "\n") }

func (m *roff) paragraph(text string) {
	m.WriteString(".PP\n")
	m.text(text)
}

// tagged writes a paragraph under a tag, which is roff.
func (m *roff) tagged(tag, text string) {
	m.WriteString(".TP\n" + tag + "\n")
	m.text(text)
}

// command writes a command with its own flags, and those below it.
func (m *roff) command(c *cli.Command, above string) {
	name, below := above+" "+c.Name, slices.DeleteFunc(c.VisibleCommands(), func(c *cli.Command) bool { return c.Name == "help" })
	if len(below) == 0 || c.Name == "demo" { // whose commands are its own business
		tag := `\fB` + roffText(name) + `\fR`
		if c.ArgsUsage != "" {
			tag += ` \fI` + roffText(c.ArgsUsage) + `\fR`
		}
		m.tagged(tag, c.Usage)
		m.WriteString(".RS\n")
		for _, f := range c.Flags {
			if !slices.Contains(everywhere, f.Names()[0]) {
				m.flag(f)
			}
		}
		m.WriteString(".RE\n")
		return
	}
	for _, sub := range below {
		m.command(sub, name)
	}
}

// placeholder matches what stands for the value in the usage of a flag.
var placeholder = regexp.MustCompile("`([^`]*)`")

func (m *roff) flag(f cli.Flag) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok || f.Names()[0] == "help" {
		return
	}
	tag, usage := `\fB`+roffText("--"+f.Names()[0])+`\fR`, d.GetUsage()
	if value := placeholder.FindStringSubmatch(usage); value != nil {
		tag += ` \fI` + roffText(value[1]) + `\fR`
	} else if d.TakesValue() {
		tag += ` \fI` + roffText(m.speak.Text("VALUE")) + `\fR`
	}
	m.tagged(tag, placeholder.ReplaceAllString(usage, "$1"))
}

// roffText returns a text as roff reads it. A minus sign is one that can be copied, and no line of a
// text is a request.
func roffText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`, "'", `\(aq`, "\n", " ").Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
