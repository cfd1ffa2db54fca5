package durable_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/crashfs"
	"github.com/aspupdate/aspupdate/internal/durable"
)

const childEnv = "DURABLE_TEST_CHILD"

// TestMain lets the test binary be the process that writes.
func TestMain(m *testing.M) {
	root := os.Getenv(childEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	dirs, err := os.ReadDir(root)
	if err != nil {
		panic(err)
	}
	for _, d := range dirs {
		dir := filepath.Join(root, d.Name(), "a", "b")
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			panic(err)
		}
		if err := durable.WriteFile(filepath.Join(dir, "f"), []byte("new"), 0o600); err != nil {
			panic(err)
		}
	}
}

// write lets a process of its own write a/b/f in each image.
func write(t *testing.T, images ...crashfs.Image) (logs []crashfs.Log) {
	t.Helper()
	root := filepath.Join(crashfs.Dir(t), "w")
	for i, im := range images {
		require.NoError(t, im.Write(filepath.Join(root, fmt.Sprint(i))))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+root)
	all := crashfs.Trace(t, cmd, root).Split()
	for i := range images {
		logs = append(logs, all[fmt.Sprint(i)])
	}
	return logs
}

// A process is killed, or loses its power, at every call; another writes the
// same. Once that one is done the file stays, and on the way there it is the
// old one, the new one, or not there where it was not before.
func TestPowerCutAtEveryCall(t *testing.T) {
	for name, base := range map[string]crashfs.Image{
		"a new file":   {},
		"a file there": {"a/": "", "a/b/": "", "a/b/f": "old"},
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		var crashes []crashfs.Crash
		var images []crashfs.Image
		look := func(l crashfs.Log, again bool) {
			for c := range l.Crashes(rnd, 20) {
				f, ok := c.Image["a/b/f"]
				require.True(t, f == "new" || f == base["a/b/f"] && ok == (len(base) > 0), "%s: %s lost after %d of %d calls: %q", name, c.Loss, c.After, len(l.Ops), f)
				require.True(t, ok && f == "new" || c.After < len(l.Ops), "%s: %s lost at the end", name, c.Loss)
				if !again {
					crashes, images = append(crashes, c), append(images, c.Image)
				}
			}
		}
		first := write(t, base)[0]
		look(first, false)
		for i, l := range write(t, images...) {
			if crashes[i].Loss == crashfs.None {
				l = first.Then(crashes[i].After, l) // it was only killed
			}
			look(l, true)
		}
	}
}
