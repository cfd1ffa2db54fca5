package roles_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/version"
)

// What the application consists of is compared after a rollback: a file that is
// missing is an error, other differences are reported.
func TestTheApplicationIsComparedAfterARollback(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(t, "7.12.100", version.Setup, "7.12.100"), w.add(t, "7.13.100", version.Setup, "7.13.100")
	i := w.installers(from, to)
	var warned []string
	i.Runner.Observe = func(e install.Event) {
		if e.Kind == "warning" {
			warned = append(warned, e.Text)
		}
	}
	app := filepath.Join(w.dir, "app")
	i.Command.Application = []string{app, filepath.Join(w.dir, "absent")}
	role := i.Role().(interface {
		Record(ctx context.Context) error
		Compare(ctx context.Context) error
		Tidy(ctx context.Context) error
	})
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(app, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	remove := func(name string) { require.NoError(t, os.RemoveAll(filepath.Join(app, name))) }
	require.NoError(t, role.Compare(t.Context()), "nothing was recorded")
	write("bin/asp.exe", "MZ the program")
	write("bin/asp.dll", "MZ a library")
	write("reports/a.frx", "a report")
	write("logs/today", "started")
	write("data/asp.db-wal", "written")
	require.NoError(t, role.Record(t.Context()))

	compared := func() (string, error) {
		warned = nil
		err := role.Compare(t.Context())
		return strings.Join(warned, "\n"), err
	}
	text, err := compared()
	require.NoError(t, err)
	require.Empty(t, text)
	remove("logs")
	remove("data")
	write("reports/a.frx", "another report")
	text, err = compared()
	require.NoError(t, err, "what comes and goes, and what people change")
	require.Empty(t, text)
	write("bin/asp.dll", "MZ another library")
	write("bin/new.dll", "MZ")
	text, err = compared()
	require.NoError(t, err)
	require.Equal(t, "programs differ from those before the update: "+filepath.Join(app, "bin", "asp.dll")+
		"\nfiles are left that were not there before the update: "+filepath.Join(app, "bin", "new.dll"), text)
	remove("reports")
	_, err = compared()
	require.EqualError(t, err, "files are missing that were there before the update: "+filepath.Join(app, "reports", "a.frx"))
	require.NoError(t, os.RemoveAll(app)) // as by an uninstaller that was not waited for
	_, err = compared()
	require.ErrorContains(t, err, "asp.exe")

	records, err := filepath.Glob(filepath.Join(w.dir, "state", "application-*"))
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.NoError(t, os.WriteFile(records[0], []byte(`{"format": 2}`), 0o600))
	require.ErrorContains(t, role.Compare(t.Context()), "it has format 2, this program reads format 1")
	require.NoError(t, role.Tidy(t.Context()))
	require.NoError(t, role.Compare(t.Context()), "the record ends with the update")
}
