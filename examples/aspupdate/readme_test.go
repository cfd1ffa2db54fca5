package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
)

const (
	landing     = "../../README.md"
	landingRU   = "../../README.ru.md"
	manual      = "README.md"
	operations  = "OPERATIONS.md"
	contributor = "../../CONTRIBUTING.md"

	manualRU     = "README.ru.md"
	operationsRU = "OPERATIONS.ru.md"
)

// readDocument returns a document's text.
func readDocument(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// blocks returns a document's fenced blocks of one language.
func blocks(text, language string) (list []string) {
	for _, part := range strings.Split(text, "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		list = append(list, block)
	}
	return list
}

// rows returns the cells of the table that follows a heading.
func rows(t *testing.T, text, heading string) (list [][]string) {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	require.True(t, ok, heading)
	rest, _, _ = strings.Cut(rest, "\n#")
	for line := range strings.Lines(rest) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 2 && !strings.Contains(line, "---") {
			list = append(list, cells[1:len(cells)-1])
		}
	}
	require.Greater(t, len(list), 1, heading)
	return list[1:]
}

// TestManualHasTheExitCodes compares the manual's table with the program's; the
// Russian one has a line for each code.
func TestManualHasTheExitCodes(t *testing.T) {
	t.Parallel()
	english, russian := readDocument(t, manual), readDocument(t, landingRU)
	for code, exit := range exitTable {
		assert.Contains(t, english, fmt.Sprintf("\n| %d | %s |\n", code, exit.meaning))
		assert.Contains(t, russian, fmt.Sprintf("\n| %d | ", code))
	}
	assert.Len(t, rows(t, english, "## Exit codes"), len(exitTable))
}

// TestReadmePrograms compiles the README's program, and finds its other one in
// the embed example, which another test builds and runs.
func TestReadmePrograms(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, strings.Count(readDocument(t, landing), "\n"), 200, "the rest goes beside what it describes")
	programs := blocks(readDocument(t, landing), "go")
	require.Len(t, programs, 2)
	dir, err := os.MkdirTemp("..", "readme-") // inside the module, for its imports
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(programs[0]), 0o600))
	out, err := exec.Command("go", "vet", "./"+filepath.ToSlash(dir)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, readDocument(t, "../embed/main.go"), programs[1])
	for _, text := range programs {
		require.LessOrEqual(t, strings.Count(text, "\n"), 25)
	}
}

// TestManualConfiguration loads the manual's configuration.
func TestManualConfiguration(t *testing.T) {
	t.Parallel()
	configs := blocks(readDocument(t, manual), "toml")
	require.Len(t, configs, 2)
	dir := t.TempDir()
	secrets := filepath.Join(dir, "etc", "aspupdate")
	require.NoError(t, os.MkdirAll(secrets, 0o700))
	for _, name := range []string{"ftp", "asp.uri"} {
		require.NoError(t, os.WriteFile(filepath.Join(secrets, name), []byte("secret"), 0o600))
	}
	path := filepath.Join(dir, "aspupdate.toml")
	text := strings.ReplaceAll(configs[0], `"/`, `"`+filepath.ToSlash(dir)+`/`) // absolute on Windows too
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, err := site.Load(path)
	require.NoError(t, err)
	loadWindows(t, configs[1])
}

// loadWindows loads the configuration of a site on Windows with IIS and SQL Server.
func loadWindows(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	etc := filepath.Join(dir, "ProgramData", "aspupdate", "etc")
	require.NoError(t, os.MkdirAll(etc, 0o700))
	for name, secret := range map[string]string{"ftp": "secret", "mssql.uri": "sqlserver://maintenance:secret@localhost?database=master"} {
		require.NoError(t, os.WriteFile(filepath.Join(etc, name), []byte(secret), 0o600))
	}
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(regexp.MustCompile(`"[CD]:/`).ReplaceAllString(text, `"`+filepath.ToSlash(dir)+`/`)), 0o600))
	c, err := site.Load(path)
	require.NoError(t, err)
	require.Equal(t, 4, c.Parallel)
	require.Equal(t, "asp", c.Application.IIS.Site)
	require.Len(t, c.MSSQL, 1)
	require.Equal(t, "asp_*", c.MSSQL[0].Databases)
	require.Equal(t, []string{"asp_test*"}, c.MSSQL[0].Except)
	require.Len(t, c.Distributions, 1)
	p := c.Distributions[0].Probe
	require.Equal(t, []string{c.MSSQL[0].Databases, "asp_probe", "структура отличается"}, []string{p.InDB, p.Role, p.NotText})
	require.NotEmpty(t, p.SQL)
	require.NotEmpty(t, p.HTTP)
	require.Len(t, c.Distributions[0].Migrate, 1)
	m := c.Distributions[0].Migrate[0]
	require.Equal(t, []string{c.MSSQL[0].Databases, "asp_probe"}, []string{m.Database, m.Role})
	require.Contains(t, m.Command, "{database}")
	require.Equal(t, p.SQL, m.SQL)
}

// bare returns a configuration without comments, and without what a person says.
func bare(text string) string {
	return regexp.MustCompile(`(?m) +#.*$|(owners_out = ).*$`).ReplaceAllString(text, "$1")
}

// TestRussianManual loads the configuration of the Russian manual, repeats its
// transcript, and compares what both operations manuals have in common. Each command
// that it names exists.
func TestRussianManual(t *testing.T) {
	t.Parallel()
	text, ops := readDocument(t, manualRU), readDocument(t, operationsRU)
	configs := blocks(text, "toml")
	require.Len(t, configs, 2)
	loadWindows(t, configs[1])
	require.Equal(t, bare(blocks(readDocument(t, manual), "toml")[1]), bare(configs[1]))
	dir := t.TempDir()
	etc := filepath.Join(dir, "ProgramData", "aspupdate", "etc")
	require.NoError(t, os.MkdirAll(etc, 0o700))
	for _, name := range []string{"ftp", "asp.uri"} {
		require.NoError(t, os.WriteFile(filepath.Join(etc, name), []byte("secret"), 0o600))
	}
	path := filepath.Join(dir, "site.toml")
	absolute := filepath.ToSlash(dir) + "/"
	config := strings.NewReplacer(`"C:/`, `"`+absolute, `'C:\`, `'`+absolute).Replace(configs[0])
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	_, err := site.Load(path)
	require.NoError(t, err)

	transcripts := blocks(text, "console")
	require.Len(t, transcripts, 1)
	got := ""
	for line := range strings.Lines(transcripts[0]) {
		if command, ok := strings.CutPrefix(line, "$ aspupdate "); ok {
			cmd := exec.Command(program, strings.Fields(command)...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=ru_RU.UTF-8")
			out, _ := cmd.CombinedOutput()
			got += line + strings.ReplaceAll(string(out), "\r\n", "\n")
		}
	}
	require.Equal(t, transcripts[0], got)

	require.Equal(t, blocks(readDocument(t, operations), "bat"), blocks(ops, "bat"))
	known := map[string]bool{"doctr": true} // the mistake of the transcript
	for _, c := range app(nil).Commands {
		known[c.Name] = true
	}
	for _, m := range regexp.MustCompile("aspupdate ([a-z]+)").FindAllStringSubmatch(text+ops, -1) {
		require.True(t, known[m[1]], m[0])
	}
}

// TestManualNamesTheFieldsOfJSON compares the manual's tables of JSON documents
// with the types that are written.
func TestManualNamesTheFieldsOfJSON(t *testing.T) {
	t.Parallel()
	text := readDocument(t, manual)
	documents := map[string]any{
		"`aspupdate.result/1`": resultDoc{}, "`aspupdate.plan/1`": planDoc{}, "`aspupdate.status/1`": statusDoc{},
		"`aspupdate.check/1`": checkDoc{}, "`aspupdate.calendar/1`": calendarDoc{}, "`aspupdate.archive/1`": archiveDoc{},
		"`aspupdate.backups/1`": backupsDoc{}, "`aspupdate.doctor/1`": doctorDoc{}, "`aspupdate.event/1`": site.Event{}, "`aspupdate.open/1`": openDoc{}, "`aspupdate.prove/1`": proveDoc{}, "`aspupdate.copies/1`": copiesDoc{}, "`aspupdate.notify/1`": notifyDoc{}, "`aspupdate.service/1`": serviceDoc{},
	}
	for _, row := range rows(t, text, "## JSON") {
		schema := strings.TrimSpace(row[0])
		require.Contains(t, documents, schema)
		compareFields(t, schema, "schema, "+row[2], reflect.TypeOf(documents[schema]))
		delete(documents, schema)
	}
	require.Empty(t, documents)

	shared := map[string]any{
		"parts[]": rollback.PlanPart{}, "overrides[]": rollback.Override{}, "slot": rollback.Slot{}, "needs[]": rollback.Need{},
		"steps[]": rollback.PlanStep{}, "release": rollback.Release{},
	}
	for _, row := range rows(t, text, "### Fields shared by several") {
		name := strings.TrimSpace(row[0])
		require.Contains(t, shared, name)
		compareFields(t, name, row[1], reflect.TypeOf(shared[name]))
		delete(shared, name)
	}
	require.Empty(t, shared)
}

// compareFields compares "a, b[] {c, d}" with the JSON fields of a type.
func compareFields(t *testing.T, of, text string, typ reflect.Type) {
	t.Helper()
	fields := jsonFields(typ)
	var names []string
	for text = strings.TrimSpace(text); text != ""; {
		end := strings.IndexAny(text, ", ")
		if end < 0 {
			end = len(text)
		}
		name := strings.TrimRight(text[:end], "[]{}")
		names = append(names, name)
		text = strings.TrimSpace(text[end:])
		if strings.HasPrefix(text, "(") { // (as another one)
			_, text, _ = strings.Cut(text, ")")
			text = strings.TrimSpace(text)
		}
		if strings.HasPrefix(text, "{") {
			inner := text[1:closing(text)]
			text = text[len(inner)+2:]
			if f, ok := fields[name]; assert.True(t, ok, "%s has no field %s", of, name) {
				compareFields(t, of+" "+name, inner, f)
			}
		}
		text = strings.TrimLeft(text, ", ")
	}
	var want []string
	for name := range fields {
		want = append(want, name)
	}
	assert.ElementsMatch(t, want, names, of)
}

// closing returns where the brace closes that text begins with.
func closing(text string) int {
	depth := 0
	for i, c := range text {
		switch c {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// jsonFields returns the fields that a type has in JSON, embedded ones included.
func jsonFields(typ reflect.Type) map[string]reflect.Type {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	fields := map[string]reflect.Type{}
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for inner, typ := range jsonFields(f.Type) {
				if _, outer := fields[inner]; !outer {
					fields[inner] = typ
				}
			}
		case name != "-" && f.IsExported():
			fields[name] = f.Type
		}
	}
	if typ == reflect.TypeFor[rollback.Revert]() { // a plan has the parts itself, and its back shows what was entered instead
		delete(fields, "parts")
		delete(fields, "counts")
	}
	return fields
}

var (
	codeSpan    = regexp.MustCompile("`([^`\n]+)`")
	commandLine = regexp.MustCompile("(?m)(?:`|^    (?:\\./)?|^\\$ |/bin/|\\\\tools\\\\)aspupdate(?:\\.exe)? ([^`\"\n]+)")
)

// TestDocumentsNameCommands looks every command line of the documents up: its
// commands and its flags exist. Each command is in the manual's table.
func TestDocumentsNameCommands(t *testing.T) {
	t.Parallel()
	root := app(nil)
	for _, path := range []string{landing, landingRU, manual, operations, contributor} {
		found := commandLine.FindAllStringSubmatch(readDocument(t, path), -1)
		for _, m := range found {
			known(t, path, root, strings.Fields(m[1]))
		}
		if path != contributor {
			assert.NotEmpty(t, found, path)
		}
	}
	documented := map[string]bool{}
	for _, row := range rows(t, readDocument(t, manual), "## Commands") {
		parent := root
		for i, m := range codeSpan.FindAllStringSubmatch(row[0], -1) {
			words := strings.Fields(m[1])
			if i == 0 && len(words) > 1 && root.Command(words[0]) != nil && len(root.Command(words[0]).Commands) > 0 {
				parent = root.Command(words[0]) // the others of the row are its commands as well
				words = words[1:]
			}
			if parent.Command(words[0]) != nil {
				documented[parent.Name+" "+words[0]] = true
			}
			known(t, manual, parent, words)
		}
	}
	for _, c := range root.Commands {
		if len(c.Commands) == 0 || c.Name == "demo" {
			assert.True(t, documented["aspupdate "+c.Name], "the manual has no %s", c.Name)
			continue
		}
		for _, sub := range c.Commands {
			assert.True(t, documented[c.Name+" "+sub.Name], "the manual has no %s %s", c.Name, sub.Name)
		}
	}
}

// known fails unless the words are a command of the program with its flags.
func known(t *testing.T, path string, cmd *cli.Command, words []string) {
	t.Helper()
	line := strings.Join(words, " ")
	if slices.Contains([]string{"completion", "--help", "--version"}, words[0]) {
		return // of the library for command lines
	}
	for len(words) > 0 && cmd.Command(words[0]) != nil {
		cmd, words = cmd.Command(words[0]), words[1:]
	}
	if !assert.NotEqual(t, "aspupdate", cmd.Name, "%s: %s", path, line) {
		return
	}
	for _, w := range words {
		name, isFlag := strings.CutPrefix(strings.Trim(w, "[]`"), "--")
		name = strings.TrimRight(name, ",.;")
		assert.True(t, !isFlag || slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }),
			"%s: %s: --%s is unknown", path, line, name)
	}
}
