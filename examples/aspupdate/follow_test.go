package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"
)

// A followed site is one whose next: lines a test types, until it is in order.
type followed struct {
	run     func(args ...string) (code int, output string)
	inOrder func() error // users are in, and the application is healthy
	// repair does what a person does before the command, where the line says
	// so: "fix what the message names". May be nil.
	repair func(next string)
	values map[string]string // of the words in capitals, besides WHY and REASON
	log    []string
}

// follow types what the last next: line of a command's output says, until the
// site is in order. Without such a line it asks status, then doctor. Each
// alternative of a line is tried once; a line that comes again when all were
// tried is a dead end.
func (f *followed) follow(t *testing.T, output string) {
	t.Helper()
	tried := map[string]int{}
	next := lastNext(output)
	for _, ask := range []string{"", "status", "doctor"} {
		if ask != "" && next == "" {
			next = lastNext(f.typed(ask))
		}
		for next != "" {
			if f.repair != nil {
				f.repair(next)
			}
			commands := commandsIn(next)
			require.NotEmpty(t, commands, "the line names no command: %s\n%s", next, strings.Join(f.log, "\n"))
			n := tried[next]
			require.Less(t, n, len(commands), "a dead end: %s\n%s", next, strings.Join(f.log, "\n"))
			tried[next]++
			next = lastNext(f.typed(f.fill(commands[n])...))
		}
		if f.inOrder() == nil {
			break
		}
	}
	require.NoError(t, f.inOrder(), strings.Join(f.log, "\n"))
	code, out := f.run("status")
	require.Zero(t, code, out)
}

func (f *followed) typed(args ...string) (output string) {
	code, out := f.run(args...)
	f.log = append(f.log, fmt.Sprintf("$ aspupdate %s\n%s(exit code %d)", strings.Join(args, " "), out, code))
	return out
}

// fill replaces the words in capitals.
func (f *followed) fill(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if a == "WHY" || a == "REASON" {
			args[i] = "the line says so"
		} else if v, ok := f.values[a]; ok {
			args[i] = v
		}
	}
	return args
}

var nextLine = regexp.MustCompile(`(?m)^next: (.*)$`)

func lastNext(output string) string {
	if all := nextLine.FindAllStringSubmatch(output, -1); len(all) > 0 {
		return all[len(all)-1][1]
	}
	return ""
}

// commandsIn returns the commands of a next: line, which is made of sentences
// with commands that end at a comma, a semicolon, a parenthesis or the line's
// end. What is in parentheses explains.
func commandsIn(next string) (commands [][]string) {
	var command []string
	inside, depth := false, 0
	end := func() {
		if inside {
			commands = append(commands, command)
		}
		inside, command = false, nil
	}
	for _, w := range shellWords(next) {
		if strings.HasPrefix(w.text, "(") && !w.quoted {
			end()
			depth++
		}
		if depth == 0 {
			text := strings.TrimRight(w.text, ",;:")
			stop := text != w.text && !w.quoted
			switch {
			case inside:
				if w.quoted {
					text = w.text
				}
				if text != "" {
					command = append(command, text)
				}
			case text == "aspupdate":
				inside = true
			}
			if stop {
				end()
			}
		}
		if !w.quoted && strings.HasSuffix(strings.TrimRight(w.text, ",;"), ")") {
			depth = max(0, depth-1)
		}
	}
	end()
	return commands
}

type shellWord struct {
	text   string
	quoted bool
}

// shellWords splits a line as a shell does, with single quotes.
func shellWords(line string) (list []shellWord) {
	var w shellWord
	in, some := false, false
	for _, r := range line {
		switch {
		case r == '\'' && (in || !some || w.quoted): // not an apostrophe
			in, w.quoted, some = !in, true, true
		case r == ' ' && !in:
			if some {
				list = append(list, w)
			}
			w, some = shellWord{}, false
		default:
			w.text += string(r)
			some = true
		}
	}
	if some {
		list = append(list, w)
	}
	return list
}

func TestCommandsOfANextLine(t *testing.T) {
	for line, want := range map[string][][]string{
		"aspupdate recover": {{"recover"}},
		"fix the cause, then aspupdate recover --retry REASON; or repair it by hand, then aspupdate recover --accept REASON": {{"recover", "--retry", "REASON"}, {"recover", "--accept", "REASON"}},
		"wait for it to end (aspupdate status shows its process), then aspupdate update --reason 'a, b' (again)":             {{"update", "--reason", "a, b"}},
		"call support": nil,
	} {
		require.Equal(t, want, commandsIn(line), line)
	}
}

// typeable returns an error unless each command in the line of output that
// begins with next: exists as it is printed, with its flags.
func typeable(output string) error {
	next := lastNext(output)
	if next == "" {
		return nil
	}
	commands := commandsIn(next)
	if len(commands) == 0 {
		return fmt.Errorf("no command leads out: %s", next)
	}
	for _, words := range commands {
		cmd := app(nil)
		rest := words
		for len(rest) > 0 && len(cmd.Commands) > 0 {
			i := slices.IndexFunc(cmd.Commands, func(c *cli.Command) bool { return c.Name == rest[0] })
			if i < 0 {
				break
			}
			cmd, rest = cmd.Commands[i], rest[1:]
		}
		free := 0
		for len(rest) > 0 {
			name, isFlag := strings.CutPrefix(rest[0], "--")
			at := slices.IndexFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
			switch {
			case isFlag && name == "help":
			case isFlag && at < 0:
				return fmt.Errorf("aspupdate %s has no flag --%s: %s", cmd.Name, name, next)
			case isFlag:
				if _, yes := cmd.Flags[at].(*cli.BoolFlag); !yes && len(rest) > 1 {
					rest = rest[1:]
				}
			default:
				free++
			}
			rest = rest[1:]
		}
		if cmd.Action == nil && cmd != app(nil) && !slices.Contains(words, "--help") || free > 0 && cmd.ArgsUsage == "" {
			return fmt.Errorf("%q is not a command: %s", words, next)
		}
	}
	return nil
}
