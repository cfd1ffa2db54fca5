package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

const (
	libraryModule = "github.com/aspupdate/aspupdate"
	programModule = libraryModule + "/examples"
)

// A shop is a copy of this repository in which a release is made as CONTRIBUTING.md says.
type shop struct {
	t        *testing.T
	dir      string // of the copy
	upstream string // what go takes for the published repository
}

// newShop copies what this repository has, with what is not committed yet.
func newShop(t *testing.T) *shop {
	t.Helper()
	git, root := realtest.Program(t, "git"), filepath.Join("..", "..")
	listed, err := exec.Command(git, "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		realtest.Skip(t, "this is not a clone of the repository: %v", err)
	}
	s := &shop{t: t, dir: filepath.Join(t.TempDir(), "clone"), upstream: filepath.Join(t.TempDir(), "published")}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(listed), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and that is not committed yet
		}
		require.NoError(t, err)
		to := filepath.Join(s.dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, text, 0o644))
	}
	s.git("init", "-q", "-b", "main")
	s.git("config", "user.name", "tests")
	s.git("config", "user.email", "tests@example.org")
	s.commit("before the release")
	return s
}

func (s *shop) write(path, text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o644))
}

func (s *shop) commit(message string) {
	s.t.Helper()
	s.git("add", "-A")
	s.git("commit", "-q", "-m", message)
}

func (s *shop) git(args ...string) string {
	s.t.Helper()
	return s.run("", nil, "git", args...)
}

// run runs a command in a directory of the copy and returns its output.
func (s *shop) run(dir string, env []string, name string, args ...string) string {
	s.t.Helper()
	out, err := s.try(dir, env, name, args...)
	require.NoError(s.t, err, out)
	return out
}

func (s *shop) try(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = filepath.Join(s.dir, dir), append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestGoInstallOfARelease releases both modules by the recipe and, with ASPUPDATE_SOAK=1, installs the
// program by go install, as everyone else does. Only where the modules come from is special: go reads the copy's tags, and a
// directory serves what it has made of them.
func TestGoInstallOfARelease(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	version := fmt.Sprintf("v0.0.%d", time.Now().UnixNano()) // of this run alone: the module cache is shared
	before := s.git("rev-parse", "HEAD^{tree}")
	tags := s.git("tag")
	release := func(says string, args ...string) {
		t.Helper()
		out, err := s.try("", nil, "bash", append([]string{".ci/release"}, args...)...)
		require.Error(t, err, out)
		require.Contains(t, out, says)
		require.Equal(t, tags, s.git("tag"))
	}
	release(`invalid version ""`)
	release(`invalid version "1.2.3"`, "1.2.3")
	release(`invalid version "v1.2.3-rc.1"`, "v1.2.3-rc.1")
	release("v2.0.0 needs another module path", "v2.0.0")
	release("CHANGELOG.md has no heading", version)
	changes := filepath.Join(s.dir, "CHANGELOG.md")
	heading := regexp.MustCompile(`\n## [^\n]*\n`) // Unreleased, or in a release its own
	rename := func(version string) {
		t.Helper()
		text := readDocument(t, changes)
		first := heading.FindString(text)
		require.NotEmpty(t, first)
		require.NoError(t, os.WriteFile(changes, []byte(strings.Replace(text, first, "\n## "+version+" (2026-12-01)\n", 1)), 0o600))
	}
	rename(version)
	release("the clone has changes", version)
	s.write(changes, readDocument(t, changes)+"\nNothing is tagged yet.\n")
	s.commit("the changes of " + version)
	release("there is no release yet, say ./CHANGELOG.md", version)
	for _, name := range []string{"CHANGELOG.md", "README.md", "README.ru.md", "examples/aspupdate/README.md", "examples/aspupdate/README.ru.md"} {
		text := readDocument(t, filepath.Join(s.dir, name))
		for _, none := range []string{"othing is tagged yet", "Первого выпуска ещё не было"} {
			text = strings.ReplaceAll(text, none, "-")
		}
		s.write(filepath.Join(s.dir, name), text)
	}
	s.commit("there is a release now")
	out := s.run("", nil, "bash", ".ci/release", version)
	require.Contains(t, out, "git push --atomic origin HEAD:main "+version+" examples/"+version)
	again, err := s.try("", nil, "bash", ".ci/release", version)
	require.Error(t, err)
	require.Contains(t, again, "the tag "+version+" exists")

	released := s.git("rev-parse", version+"^{commit}")
	require.Equal(t, released, s.git("rev-parse", "examples/"+version+"^{commit}"), "both modules are one commit")
	require.NotContains(t, s.git("show", released+":examples/go.mod"), "replace")
	require.Equal(t, s.git("rev-parse", "HEAD~1"), released)
	require.Empty(t, s.git("diff", "HEAD~2"), "development goes on as before")
	require.NotEqual(t, before, s.git("rev-parse", "HEAD^{tree}"))

	s.publish(version)
	served := s.serve(version)
	s.git("checkout", "-q", "examples/"+version)
	s.run("examples", served, "go", "mod", "tidy", "-diff") // go.mod and go.sum are what go writes

	// The tests run in a release, too, and the next one is made where the last one was.
	later := version + "1"
	rename(later)
	s.commit("the changes of " + later)
	s.run("", nil, "bash", ".ci/release", later)
	require.NotContains(t, s.git("show", later+":examples/go.sum"), version+" ", "nothing is left of the release before")
	s.git("checkout", "-q", "examples/"+version)

	if os.Getenv("ASPUPDATE_SOAK") != "1" {
		return // a build of all packages under new names takes most of a minute
	}
	bin := t.TempDir()
	s.dir = t.TempDir() // outside of any module
	s.run("", append(served, "GOBIN="+bin), "go", "install", programModule+"/aspupdate@latest")
	require.Contains(t, s.run("", nil, filepath.Join(bin, "aspupdate"), "--version"), "aspupdate version "+version+", go1.")
}

// publish makes what the push of the recipe makes.
func (s *shop) publish(version string) {
	s.t.Helper()
	s.git("init", "-q", "--bare", "-b", "main", s.upstream)
	s.git("push", "-q", "--atomic", s.upstream, "HEAD:main", version, "examples/"+version)
}

// serve has go make both modules of the published tags, and returns an environment in which go finds
// them, and all others where it finds them otherwise. What go keeps of them is removed with the test.
func (s *shop) serve(version string) (env []string) {
	s.t.Helper()
	modules := filepath.Join(s.t.TempDir(), "modules")
	s.run("", []string{
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url." + s.upstream + ".insteadOf", "GIT_CONFIG_VALUE_0=https://" + libraryModule,
		"GOPRIVATE=" + libraryModule, "GOPROXY=direct", "GOVCS=" + libraryModule + ":git", "GOWORK=off", "GOMODCACHE=" + modules, "GOFLAGS=-modcacherw",
	}, "go", "mod", "download", libraryModule+"@"+version, programModule+"@"+version)
	var goenv struct{ GOMODCACHE, GOPROXY string }
	out := s.run("", nil, "go", "env", "-json", "GOMODCACHE", "GOPROXY")
	require.NoError(s.t, json.Unmarshal([]byte(out), &goenv))
	s.t.Cleanup(func() { uncache(s.t, goenv.GOMODCACHE, version) })
	return []string{
		"GOPROXY=file://" + filepath.ToSlash(modules) + "/cache/download," + goenv.GOPROXY,
		"GONOSUMDB=" + libraryModule + "," + programModule, "GOWORK=off", "GOFLAGS=-modcacherw",
	}
}

// uncache removes a version of both modules from go's cache, and its line in the lists of versions.
func uncache(t *testing.T, cache, version string) {
	t.Helper()
	for _, module := range []string{programModule, libraryModule} {
		files := filepath.Join(cache, "cache", "download", module, "@v")
		found, err := filepath.Glob(filepath.Join(files, version+".*"))
		require.NoError(t, err)
		for _, path := range append(found, filepath.Join(cache, module+"@"+version)) {
			require.NoError(t, os.RemoveAll(path))
		}
		list := filepath.Join(files, "list")
		if text, err := os.ReadFile(list); err == nil {
			if text := strings.ReplaceAll(string(text), version+"\n", ""); text == "" {
				err = os.Remove(list)
			} else {
				err = os.WriteFile(list, []byte(text), 0o644)
			}
			require.NoError(t, err)
		}
		for dir := files; os.Remove(dir) == nil; dir = filepath.Dir(dir) { // what is empty now
		}
		for dir := filepath.Join(cache, filepath.Dir(module)); os.Remove(dir) == nil; dir = filepath.Dir(dir) {
		}
	}
}
