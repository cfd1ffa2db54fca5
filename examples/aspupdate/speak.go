package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/lang"
)

const (
	speaking = "language" // the key of the language in the metadata of the root command
	grouped  = "group"    // and of the title above a command in the help
)

// speaks returns the language for people: that of --lang, wherever it stands, or
// of the environment, or of the system. It is found before the command line is
// read, because that has help and errors of its own.
func speaks(args []string) (*lang.Language, error) {
	flag := ""
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--lang="); ok {
			flag = value
		} else if arg == "--lang" && i+1 < len(args) {
			flag = args[i+1]
		}
	}
	env := []string{os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG")}
	speak, err := lang.Choose(flag, env, lang.System)
	if err != nil {
		err = usage("%w", err)
	}
	return speak, err
}

// shown returns a text as people read it: in their language, and with the names in
// addresses as they are spelled.
func shown(speak *lang.Language, text string) string {
	return escaped.ReplaceAllStringFunc(speak.Text(text), func(part string) string {
		if plain, err := url.PathUnescape(part); err == nil && utf8.ValidString(plain) {
			return plain
		}
		return part
	})
}

// escaped matches what an address has for letters outside of ASCII.
var escaped = regexp.MustCompile(`(%[89A-F][0-9A-F])+`)

// synopsis is how the program is run.
const synopsis = "aspupdate COMMAND [--config FILE] [--json] [--quiet] [--lang en|ru]; aspupdate COMMAND --help shows the flags of one"

// rootHelp returns the help of the program: its commands by what they are for, and
// the exit codes last.
func rootHelp(root *cli.Command, speak *lang.Language) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s - %s\n\n%s\n", root.Name, root.Usage, speak.Text(synopsis))
	above := "-"
	for _, c := range root.VisibleCommands() {
		if c.Name == "help" || c.Name == "completion" {
			continue
		}
		if title, _ := c.Metadata[grouped].(string); title != above {
			above = title
			b.WriteString("\n")
			if title != "" {
				b.WriteString(speak.Text(title) + "\n")
			}
		}
		fmt.Fprintf(&b, "   %-9s %s\n", c.Name, c.Usage)
	}
	b.WriteString("\n" + exitHelp(speak))
	return strings.ReplaceAll(b.String(), "{{", "{ {") // it is the text of a template
}

// A helpWriter puts the few words of the command line's own help into the language.
type helpWriter struct {
	io.Writer
	speak *lang.Language
}

func (w helpWriter) Write(text []byte) (int, error) {
	s := strings.NewReplacer("[options]", w.speak.Text("[options]"), "show help", w.speak.Text("show help"), "(default: ", "("+w.speak.Text("by default")+": ").Replace(string(text))
	_, err := io.WriteString(w.Writer, s)
	return len(text), err
}

// A textWriter puts what is written into the language, a text at a time.
type textWriter struct {
	io.Writer
	speak *lang.Language
}

func (w textWriter) Write(text []byte) (int, error) {
	_, err := io.WriteString(w.Writer, shown(w.speak, string(text)))
	return len(text), err
}

// translate puts the help of a command and those below it into the language. The
// flags are copied: some commands share them.
func translate(c *cli.Command, speak *lang.Language) {
	if speak == nil {
		return
	}
	c.Usage = speak.Text(c.Usage)
	for i, f := range c.Flags {
		switch f := f.(type) {
		case *cli.StringFlag:
			c.Flags[i] = &cli.StringFlag{Name: f.Name, Value: f.Value, Usage: speak.Text(f.Usage), Required: f.Required, Sources: f.Sources}
		case *cli.StringSliceFlag:
			c.Flags[i] = &cli.StringSliceFlag{Name: f.Name, Usage: speak.Text(f.Usage)}
		case *cli.BoolFlag:
			c.Flags[i] = &cli.BoolFlag{Name: f.Name, Usage: speak.Text(f.Usage)}
		case *cli.IntFlag:
			c.Flags[i] = &cli.IntFlag{Name: f.Name, Usage: speak.Text(f.Usage)}
		case *cli.DurationFlag:
			c.Flags[i] = &cli.DurationFlag{Name: f.Name, Usage: speak.Text(f.Usage)}
		}
	}
	heads := strings.NewReplacer("GLOBAL OPTIONS", "ОБЩИЕ КЛЮЧИ", "OPTIONS", "КЛЮЧИ", "NAME:", "НАЗВАНИЕ:", "USAGE:", "ЗАПУСК:", "COMMANDS:", "КОМАНДЫ:", "DESCRIPTION:", "ОПИСАНИЕ:",
		"[global options]", "[общие ключи]", "[command [command options]]", "[команда [ключи команды]]", "[arguments...]", "[аргументы...]")
	c.CustomHelpTemplate = heads.Replace(cli.CommandHelpTemplate)
	if len(c.Commands) > 0 {
		c.CustomHelpTemplate = heads.Replace(cli.SubcommandHelpTemplate)
	}
	for _, sub := range c.Commands {
		translate(sub, speak)
	}
}
