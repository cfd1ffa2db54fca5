// The commands and the installers of an application: what it does is in the
// name of the program.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
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
	name := strings.TrimSuffix(filepath.Base(self), ".exe")
	switch name {
	case "close":
		held(dir, name)
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
		held(filepath.Dir(app), "Setup")
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

// held waits while a test holds what the program does, and says which process waits.
func held(dir, name string) {
	for {
		if _, err := os.Stat(filepath.Join(dir, "hold-"+name)); err != nil {
			return
		}
		path := filepath.Join(dir, "at-"+name)
		if err := os.WriteFile(path+".new", fmt.Append(nil, os.Getpid()), 0o600); err == nil {
			_ = os.Rename(path+".new", path)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
