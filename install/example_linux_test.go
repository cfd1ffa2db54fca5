package install_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/install"
)

// An installer of an earlier process is settled first, then the new one runs
// from a private copy that has the expected hash.
func ExampleRunner_Run() {
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	setup := filepath.Join(dir, "Setup.sh") // as the archive of versions has it
	script := []byte("#!/bin/sh\necho migrating the database\nexit 3\n")
	if err := os.WriteFile(setup, script, 0o600); err != nil {
		fmt.Println(err)
		return
	}
	sum := sha256.Sum256(script)

	ctx := context.Background()
	r := install.Runner{State: filepath.Join(dir, "state")}
	if _, err := r.Settle(ctx); err != nil {
		fmt.Println(err)
		return
	}
	out, err := r.Run(ctx, install.Command{
		Path:     setup,
		SHA256:   hex.EncodeToString(sum[:]),
		Launcher: []string{"sh"},
		Args:     []string{"--quiet"},
		Codes:    install.Codes{3: {Status: install.RebootNeeded, Meaning: "done", Next: "restart the machine"}},
	})
	fmt.Println(out.Status, out.Code, err)
	fmt.Print(out.Tail)
	// Output:
	// reboot-needed 3 <nil>
	// migrating the database
}

// The kind of the file decides how it is run, and a file of no known kind is
// not run at all.
func ExampleDetect() {
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, file := range []struct{ name, text string }{
		{"Setup", "#!/bin/sh\necho installing\n"},
		{"Setup.deb", "!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n"},
		{"Setup.dat", "who knows"},
	} {
		path := filepath.Join(dir, file.name)
		if err := os.WriteFile(path, []byte(file.text), 0o600); err != nil {
			fmt.Println(err)
			return
		}
		kind, err := install.Detect(path)
		fmt.Printf("%s: %q, unknown: %t\n", file.name, kind, errors.Is(err, install.ErrUnknownKind))
		switch kind {
		case install.Script, install.Deb:
			fmt.Println("for Linux")
		case install.Plain:
			fmt.Println("set its Args")
		case install.MSI, install.Burn:
			fmt.Println("for Windows, run by an administrator")
		}
	}
	// Output:
	// Setup: "script", unknown: false
	// for Linux
	// Setup.deb: "deb", unknown: false
	// for Linux
	// Setup.dat: "", unknown: true
}
