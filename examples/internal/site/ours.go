package site

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aspupdate/aspupdate/install"
)

// readable fails if another account can change a file that the configuration
// names: what is in it decides which server is trusted, and what runs.
func readable(key, path string) error {
	if path == "" {
		return nil
	}
	if err := install.Private(path, false).Run(context.Background()); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// credentials begins the path of a file that systemd makes for a unit with
// LoadCredential=. The directory has another name in each unit.
const credentials = "${CREDENTIALS_DIRECTORY}"

// readSecret reads a file that no other account can read or change.
func readSecret(key, path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, credentials); ok {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", fmt.Errorf("%s = %q: the environment variable CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=", key, path)
		}
		path = dir + rest
	}
	if err := install.Private(path, true).Run(context.Background()); err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	text := strings.TrimPrefix(string(b), "\ufeff") // some editors put it before a text
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", fmt.Errorf("%s: the file is UTF-16: save it as UTF-8", key)
	}
	return strings.TrimRight(text, "\r\n"), nil
}
