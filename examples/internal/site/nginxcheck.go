package site

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// accepted fails if nginx does not accept its configuration, or does not include the file in it:
// then the file keeps no user out.
func (n nginxFence) accepted(ctx context.Context) error {
	test, included := n.test, false
	flag := slices.Index(test.Argv, "-t")
	lists := flag > 0 && strings.TrimSuffix(filepath.Base(test.Argv[0]), ".exe") == "nginx" // and no program in its place
	if lists {
		test.Argv = slices.Clone(test.Argv)
		test.Argv[flag] = "-T" // tests, and prints each file under its name
		file, err := os.Stat(n.Include)
		if err != nil {
			return err
		}
		test.Output = func(text string) {
			for line := range strings.Lines(text) {
				name, ok := strings.CutPrefix(strings.TrimSpace(line), "# configuration file ")
				if !ok {
					continue
				}
				fi, err := os.Stat(strings.TrimSuffix(name, ":")) // by another name perhaps
				included = included || err == nil && os.SameFile(file, fi)
			}
		}
	}
	if err := test.Run(ctx, nil); err != nil {
		return fmt.Errorf("nginx does not accept %s: %w", n.Include, err)
	}
	if lists && !included {
		return fmt.Errorf("nginx does not include %s: include it in the server block of nginx", n.Include)
	}
	return nil
}

// keepsOut waits until nginx follows the file. For a tenth of a second, or longer on a busy machine, nginx
// has workers of the old configuration beside those of the new one, and either may answer.
func (n nginxFence) keepsOut(ctx context.Context) error {
	after := strconv.Itoa(n.retryAfter())
	err := entrance{n.URL, func(res *http.Response, _ error) bool {
		return res != nil && res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == after
	}}.keepsOut(ctx)
	if err != nil {
		return fmt.Errorf("nginx does not follow %s: %w", n.Include, err)
	}
	return nil
}
