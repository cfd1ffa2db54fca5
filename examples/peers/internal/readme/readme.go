// Package readme writes the results of commands to a Markdown file, between two
// comments that name the command.
package readme

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
)

func markers(name string) (begin, end string) {
	return fmt.Sprintf("<!-- %s: begin, written by go run ./%s -->\n", name, name), fmt.Sprintf("<!-- %s: end -->\n", name)
}

// Rewrite replaces the text between the two markers of a command in a file. It
// returns an error and leaves the file unchanged if a marker is missing.
func Rewrite(file, command, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := markers(command)
	updated, err := replace(old, begin, end, text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, updated, 0o644)
}

func replace(old []byte, begin, end, text string) ([]byte, error) {
	before, rest, found := bytes.Cut(old, []byte(begin))
	if !found {
		return nil, fmt.Errorf("line %q not found", strings.TrimSpace(begin))
	}
	_, after, found := bytes.Cut(rest, []byte(end))
	if !found {
		return nil, fmt.Errorf("line %q not found", strings.TrimSpace(end))
	}
	return slices.Concat(before, []byte(begin+"\n"+text+"\n"+end), after), nil
}
