package site

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/version"
)

// TestTemplateShowsTheDefaults compares what the template shows in a comment with
// what holds where the key is left out. A key is either compared here or its
// comment is an example, which is said here.
func TestTemplateShowsTheDefaults(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(Template("linux", "en"), "$1")
	var c Config
	_, err := strict.Decode("template", []byte(text), &c)
	require.NoError(t, err)
	d := c.Distributions[0]
	hours := func(n float64) strict.Duration { return strict.Duration(n * float64(time.Hour)) }
	seconds := func(n int) strict.Duration { return strict.Duration(n) * strict.Duration(time.Second) }
	// The libraries' own defaults: their tests hold them.
	require.Equal(t, deadlinesConfig{Fence: hours(0.25), Snapshot: hours(6), Install: hours(3), Migrate: hours(3), Probe: hours(3), Restore: hours(6), Decide: hours(3)}, c.Deadlines)
	require.Equal(t, []any{seconds(600), seconds(30), 5, int64(0), "/", false, false}, []any{c.Server.Settle, c.Server.Timeout, c.Server.Attempts, c.Server.RateKB, c.Server.Root, c.Server.Betas, c.Server.PASV})
	require.Equal(t, []any{false, false, strict.Duration(0)}, []any{c.Window.Typical, c.Window.WorkingSaturdays, c.Window.FirstOfYearExtra})
	require.Equal(t, "wednesday", c.Calendar.Weekday)
	require.Equal(t, []any{200, seconds(5), strict.Duration(steadyDefault)}, []any{d.Probe.Status, d.Probe.Interval, *d.Probe.Steady})
	require.Equal(t, []any{false, false}, []any{d.Leaves, d.Unelevated})
	require.Equal(t, hours(3), c.Commands[0].Timeout)
	require.Equal(t, []any{notifyKinds, "starttls"}, []any{c.Notify.Kinds, c.Notify.Mail.TLS})
	require.Equal(t, install.Kind(d.Kind), distributionConfig{}.kind(), "what is left out is what the template shows")
	require.Empty(t, distributionConfig{Launcher: []string{"wine"}}.kind(), "another program opens it")
}

// TestMistakesHaveTheirPlace checks that a mistake in the meaning of a value names
// the line and the column of its key.
func TestMistakesHaveTheirPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	for _, c := range [][3]string{
		{"any_time = 'a test'", "any_time = 'a test'\nlocal = 'Europe/Samara'", `:\d+:1: window.local: .*MSK-1 to MSK\+9`},
		{"name = 'АСП'", "name = 'АСП'\n  kind = 'wise'", `:\d+:3: distribution АСП: kind = "wise"`},
		{"'DIR/backups'", "'backups'", `:\d+:1: backups = "backups": give an absolute path`},
		{"http =", "text = '('\nhttp =", `:\d+:1: distribution АСП: probe: text`},
	} {
		good := strings.ReplaceAll(goodConfig(dir), filepath.ToSlash(dir), "DIR")
		bad := strings.Replace(good, c[0], c[1], 1)
		require.NotEqual(t, good, bad)
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(bad, "DIR", filepath.ToSlash(dir))), 0o600))
		_, err := Load(path)
		require.Error(t, err)
		require.Regexp(t, c[2], err.Error())
	}
}

// TestDoctorWarnsOfShortTimes checks that a duration in a wrong unit is seen
// before an update fails by it, and that each archived installer is looked into.
func TestDoctorTriesWhatAnUpdateWouldTry(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(goodConfig(dir)+"[deadlines]\nprobe = '180ms'\n"), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	d := &doctor{Site: &Site{Config: c}}
	d.times()
	require.Len(t, d.findings, 1)
	require.Equal(t, "deadlines.probe", d.findings[0].Name)
	require.Contains(t, d.findings[0].Text, "180ms is probably too short: the restructuring may take")

	file := filepath.Join(dir, "Setup.exe")
	require.NoError(t, os.WriteFile(file, []byte("no installer"), 0o600))
	_, err = d.Import(t.Context(), file, "АСП", version.MustParse("9.22.100"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o600))
	_, err = d.Import(t.Context(), file, "АСП", version.MustParse("9.22.200"))
	require.NoError(t, err)
	foreign := make([]byte, 64) // a program for SPARC
	copy(foreign, "\x7fELF\x02\x02\x01")
	foreign[17], foreign[19] = 2, 43
	require.NoError(t, os.WriteFile(file, foreign, 0o600))
	_, err = d.Import(t.Context(), file, "АСП", version.MustParse("9.22.250"))
	require.NoError(t, err)
	d.findings = nil
	d.Config.Distributions[0].Arguments = []string{"-q"}
	d.installerKinds(t.Context())
	require.Len(t, d.findings, 3)
	states := map[string]string{}
	for _, f := range d.findings {
		states[f.Name] = f.State
	}
	script := map[bool]string{true: "fix", false: "ok"}[runtime.GOOS == "windows"] // which has no /bin/sh
	require.Equal(t, map[string]string{"АСП 9.22.100 Setup": "fix", "АСП 9.22.200 Setup": script, "АСП 9.22.250 Setup": "fix"}, states)

	for v, text := range map[string]string{"9.22.300": "no installer", "9.23.100": "#!/bin/sh\n"} {
		f, err := os.Create(filepath.Join(dir, "Setup.zip"))
		require.NoError(t, err)
		z := zip.NewWriter(f)
		w, err := z.Create("bin/setup")
		require.NoError(t, err)
		_, err = w.Write([]byte(text))
		require.NoError(t, errors.Join(err, z.Close(), f.Close()))
		_, err = d.Import(t.Context(), f.Name(), "АСП", version.MustParse(v))
		require.NoError(t, err)
	}
	d.Config.Distributions[0].Entry = "bin/setup"
	d.findings = nil
	d.installerKinds(t.Context())
	texts := map[string]string{}
	for _, f := range d.findings {
		texts[f.Name] = f.State + ": " + f.Text
	}
	require.Contains(t, texts["АСП 9.22.300 Setup"], "fix: ")
	require.Contains(t, texts["АСП 9.22.300 Setup"], "the header is not that of an installer")
	require.Equal(t, "ok: bin/setup in the zip archive can be run", texts["АСП 9.23.100 Setup"])
}

// What is found late, or not at all, because a key is missing is said before it matters.
func TestDoctorNamesWhatStaysUnseen(t *testing.T) {
	c := &Config{Application: applicationConfig{Stop: []string{"stop"}, Start: []string{"start"}}, Commands: []commandConfig{{Live: "base"}}}
	texts := func() (list []string) {
		d := &doctor{Site: &Site{Config: c}}
		d.unseen()
		for _, f := range d.findings {
			list = append(list, f.What+" "+f.Name)
		}
		return list
	}
	require.Equal(t, []string{"application status", "command base"}, texts())
	c.Application.Status, c.Commands[0].Describe = []string{"status"}, []string{"describe"}
	require.Empty(t, texts())
	c.Application = applicationConfig{Services: []string{"asp"}} // can be asked
	require.Empty(t, texts())
}
