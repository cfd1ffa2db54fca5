// The commands and the installers of an application: what it does is in the
// name of the program.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var (
	version string // of an installer
	broken  string // whether it damages the data and fails
)

func main() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	dir := filepath.Dir(filepath.Dir(self))
	switch name := strings.TrimSuffix(filepath.Base(self), ".exe"); name {
	case "close":
		err = os.WriteFile(filepath.Join(dir, "closed"), nil, 0o600)
	case "open":
		err = os.RemoveAll(filepath.Join(dir, "closed"))
	case "version":
		var text []byte
		text, err = os.ReadFile(filepath.Join(dir, "app", "version.txt"))
		fmt.Println(string(text))
	default: // Setup /S /D=…/app
		app, ok := strings.CutPrefix(os.Args[2], "/D=")
		if os.Args[1] != "/S" || !ok {
			err = fmt.Errorf("unknown arguments %q", os.Args[1:])
			break
		}
		if err = os.WriteFile(filepath.Join(app, "version.txt"), []byte(version), 0o600); err == nil && broken != "" {
			rows := filepath.Join(filepath.Dir(app), "data", "rows")
			err = errors.Join(errors.New("the migration failed"), os.WriteFile(rows, []byte("damaged"), 0o600))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
