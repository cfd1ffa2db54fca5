package site

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// packagesHere reports whether TestUnderWine made packages for Windows
// Installer and runs this beside them.
func packagesHere() bool {
	_, err := os.Stat("7.13.100.msi")
	return err == nil
}

// A package refuses to install over a newer one: a rollback uninstalls the newer
// one first, then restores, then installs the previous one.
func TestR15RollbackOfAnMSI(t *testing.T) {
	if !packagesHere() {
		t.Skip("no packages were made; TestUnderWine makes them")
	}
	for _, kind := range []install.Kind{install.MSI, install.Auto} {
		t.Run(string(kind), func(t *testing.T) { rollbackOfAnMSI(t, kind) })
	}
}

func rollbackOfAnMSI(t *testing.T, kind install.Kind) {
	base := t.TempDir()
	app, data := filepath.Join(base, "Опека и попечительство"), filepath.Join(base, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "rows"), []byte("before"), 0o600))
	s := &Site{Config: &Config{
		State: filepath.Join(base, "state"), Archive: filepath.Join(base, "archive"), Backups: filepath.Join(base, "backups"), Live: []string{app},
		Application: applicationConfig{NoFence: "a test"}, Window: windowConfig{AnyTime: "a test"},
		Directories:   []pathConfig{{Path: data}},
		Distributions: []distributionConfig{{Name: "asp", Kind: string(kind), Unauthenticated: "a test", Arguments: []string{"INSTALLDIR=" + app + `\`}, Probe: probeConfig{HTTP: "http://127.0.0.1:1/replaced-below"}}},
	}}
	var releases []release
	for _, text := range []string{"7.12.100", "7.13.100"} {
		v, err := version.Parse(text)
		require.NoError(t, err)
		item, err := s.Archive().Import(t.Context(), text+".msi",
			archive.Key{Distribution: "asp", Version: v, Variant: version.Setup}, archive.Unauthenticated("a test"))
		require.NoError(t, err)
		releases = append(releases, archived(item))
	}
	installed := func() string {
		got, _ := os.ReadFile(filepath.Join(app, "version.txt"))
		return string(got)
	}
	u, err := s.update([]step{{name: "asp", from: releases[0], to: releases[1]}})
	require.NoError(t, err)
	u.Deadlines.Probe, u.Steady = 2*time.Second, 10*time.Millisecond
	u.Parts[0].Probe = rollback.Poll(func(context.Context) (rollback.Version, error) {
		if v := installed(); v != "7.13.100" {
			return rollback.Version(v), nil
		}
		// The new version damages the data.
		return "", errors.Join(errors.New("it is broken"), os.WriteFile(filepath.Join(data, "rows"), []byte("damaged"), 0o600))
	}, 100*time.Millisecond)
	require.NoError(t, u.Parts[0].Installer.Install(t.Context(), releases[0].Release))
	require.Equal(t, "7.12.100", installed())

	var done []rollback.Step
	u.Observe = func(e rollback.Event) {
		if e.Kind == rollback.EventDone {
			done = append(done, e.Step)
			if e.Step == "remove" {
				require.Empty(t, installed(), "the newer version is uninstalled")
				rows, err := os.ReadFile(filepath.Join(data, "rows"))
				require.NoError(t, err)
				require.Equal(t, "damaged", string(rows), "and the data not yet restored")
			}
		}
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.ErrorContains(t, err, "it is broken")
	require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
	require.Equal(t, "7.12.100", installed())
	rows, err := os.ReadFile(filepath.Join(data, "rows"))
	require.NoError(t, err)
	require.Equal(t, "before", string(rows))
	require.Subset(t, done, []rollback.Step{"install", "remove", "restore", "rolled-back"})

	// A version that is not installed any more can be removed again.
	require.NoError(t, u.Parts[0].Installer.(interface {
		Remove(ctx context.Context, r rollback.Release) error
	}).Remove(t.Context(), releases[1].Release))
	require.Equal(t, "7.12.100", installed())
}
