package crashfs

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// after returns what crashes at the end of the log may leave, by loss.
func (l Log) after(t *testing.T) map[Loss][]Image {
	t.Helper()
	got := map[Loss][]Image{}
	for c := range l.Crashes(rand.New(rand.NewPCG(1, 2)), 200) {
		if c.After == len(l.Ops) {
			got[c.Loss] = append(got[c.Loss], c.Image)
		}
	}
	require.Len(t, got[All], 1)
	require.Len(t, got[None], 1)
	return got
}

func TestWhatIsNotSyncedIsLost(t *testing.T) {
	written := []Op{{Kind: Create, Path: "f"}, {Kind: Write, Path: "f", Data: "hello"}}
	fileSynced := slices.Concat(written, []Op{{Kind: Sync, Path: "f"}})
	for name, c := range map[string]struct {
		ops  []Op
		all  Image
		some []Image // what some random crash leaves
	}{
		"nothing is synced": {written, Image{}, []Image{{}, {"f": ""}, {"f": "hel"}, {"f": "hello"}, {"f": "\x00\x00\x00\x00\x00"}}},
		"the file is":       {fileSynced, Image{}, []Image{{}, {"f": "hello"}}},
		"the directory is": {append(written, Op{Kind: Sync}),
			Image{"f": ""}, []Image{{"f": ""}, {"f": "hell"}, {"f": "hello"}}},
		"both are": {append(fileSynced, Op{Kind: Sync}), Image{"f": "hello"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := Log{Ops: c.ops}.after(t)
			require.Equal(t, c.all, got[All][0])
			require.Equal(t, Image{"f": "hello"}, got[None][0])
			for _, want := range c.some {
				require.Contains(t, got[Random], want)
			}
			if c.some == nil {
				require.NotContains(t, got[Random], Image{})
			}
		})
	}
}

func TestRenameHappensWholeOrNotAtAll(t *testing.T) {
	base := Image{"a/": "", "b/": "", "a/f": "new", "b/f": "old"}
	rename := []Op{{Kind: Rename, Path: "a/f", To: "b/f"}}
	moved := Image{"a/": "", "b/": "", "b/f": "new"}
	got := Log{Base: base, Ops: rename}.after(t)
	require.Equal(t, base, got[All][0])
	require.Equal(t, moved, got[None][0])
	for _, im := range got[Random] {
		require.Contains(t, []Image{base, moved}, im)
	}
	require.Contains(t, got[Random], base)
	require.Contains(t, got[Random], moved)
	for _, dir := range []string{"a", "b"} {
		require.Equal(t, moved, Log{Base: base, Ops: append(rename, Op{Kind: Sync, Path: dir})}.after(t)[All][0])
	}
}

// Without a sync of the file first, a rename may show an empty file: the
// mistake that internal/durable is there to avoid.
func TestRenameOfAnUnsyncedFile(t *testing.T) {
	got := Log{Base: Image{"f": "old"}, Ops: []Op{
		{Kind: Create, Path: "t"},
		{Kind: Write, Path: "t", Data: "new"},
		{Kind: Rename, Path: "t", To: "f"},
		{Kind: Sync},
	}}.after(t)
	require.Equal(t, Image{"f": ""}, got[All][0])
}

func TestTornWrites(t *testing.T) {
	old := strings.Repeat("o", sector+100)
	got := Log{Base: Image{"f": old}, Ops: []Op{{Kind: Write, Path: "f", Off: 10, Data: strings.Repeat("n", 2*sector)}}}.after(t)
	require.Equal(t, old, got[All][0]["f"])
	lost, cut := false, false
	for _, im := range got[Random] {
		f := im["f"]
		require.Equal(t, old[:10], f[:10], "what was not written is not touched")
		lost = lost || strings.Contains(f, "no") && strings.Contains(f, "\x00")
		cut = cut || len(f) > len(old) && len(f) < 10+2*sector
	}
	require.True(t, lost, "a sector that was not written shows what was there before, and zeros behind it")
	require.True(t, cut, "a length on the way")
	got = Log{Base: Image{"f": "hello"}, Ops: []Op{{Kind: Truncate, Path: "f", Off: 2}}}.after(t)
	require.Equal(t, "hello", got[All][0]["f"])
	require.Contains(t, got[Random], Image{"f": "he"})
}

// A process that is killed leaves the kernel, and a later power cut takes
// what neither it nor its successor synced.
func TestKilledFirst(t *testing.T) {
	l := Log{Ops: []Op{{Kind: Create, Path: "f"}, {Kind: Write, Path: "f", Data: "hello"}, {Kind: Sync, Path: "f"}, {Kind: Sync}}}
	seen := Log{Base: Image{"f": "hello"}, Ops: []Op{{Kind: Create, Path: "g"}, {Kind: Sync}}}
	require.Equal(t, Image{"f": "hello", "g": ""}, l.Then(3, seen).after(t)[All][0])
	require.Equal(t, Image{"f": "", "g": ""}, l.Then(2, seen).after(t)[All][0])
	require.Equal(t, Image{"f": "", "g": ""}, l.Then(2, Log{}).Then(0, seen).after(t)[All][0])
}

func TestFoldersAndRemoval(t *testing.T) {
	base := Image{"d/": "", "d/f": "x"}
	ops := []Op{{Kind: Remove, Path: "d/f"}, {Kind: Remove, Path: "d"}, {Kind: Mkdir, Path: "e"}, {Kind: Create, Path: "e/g"}}
	got := Log{Base: base, Ops: ops}.after(t)
	require.Equal(t, base, got[All][0])
	require.Equal(t, Image{"e/": "", "e/g": ""}, got[None][0])
	require.Contains(t, got[Random], Image{"d/": "", "e/": ""}, "in whatever order")
	require.Equal(t, Image{"e/": ""}, Log{Base: base, Ops: append(ops, Op{Kind: Sync})}.after(t)[All][0], "and not what is in the directory")
}

const childEnv = "CRASHFS_TEST_CHILD"

// TestMain lets the test binary be what is traced.
func TestMain(m *testing.M) {
	root := os.Getenv(childEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	if err := child(root); err != nil {
		panic(err)
	}
}

// child does a bit of all that is understood.
func child(root string) error {
	place := filepath.Join(root, "дом \"1\"", "b")
	if err := durable.MkdirAll(place, 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(place, "f"), []byte("whole\n\x00"), 0o600); err != nil {
		return err
	}
	r, err := os.OpenRoot(place)
	if err != nil {
		return err
	}
	f, err := r.OpenFile("f", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if _, err := f.Read(make([]byte, 3)); err != nil {
		return err
	}
	if _, err := f.WriteString("!"); err != nil { // at 3
		return err
	}
	if err := r.Rename("f", "g"); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte("W"), 0); err != nil {
		return err
	}
	if err := f.Truncate(5); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "old"), []byte("n"), 0o600); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(root, "gone")); err != nil {
		return err
	}
	return durable.Publish(filepath.Join(place, "g"), filepath.Join(root, "дом \"1\"", "h"))
}

func TestTraceSeesWhatTheKernelSees(t *testing.T) {
	root := filepath.Join(Dir(t), "case")
	require.NoError(t, Image{"old": "ooo", "gone/": "", "gone/sub/": "", "gone/sub/x": "x"}.Write(root))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+root)
	l := Trace(t, cmd, filepath.Dir(root)).Split()["case"]
	there, err := Load(root)
	require.NoError(t, err)
	require.Equal(t, "Who!e", there["дом \"1\"/h"])
	got := l.after(t)
	require.Equal(t, there, got[None][0], "replaying the log gives what is there")
	require.Equal(t, Image{"old": "ooo", "gone/": "", "gone/sub/": "", "gone/sub/x": "x", "дом \"1\"/": "", "дом \"1\"/b/": "", "дом \"1\"/h": "whole\n\x00"},
		got[All][0], "old was not synced, nor what came after WriteFile but the last rename")
}

func TestParserRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, line := range []string{
		`1 symlinkat("\x78", 5<\x2f\x72>, "\x79") = 0`,
		`1 openat(AT_FDCWD<\x2f\x72>, "\x79", O_WRONLY|O_APPEND) = 3<\x2f\x72\x2f\x79>`,
		`1 renameat(AT_FDCWD<\x2f\x72>, "\x79", AT_FDCWD<\x2f>, "\x79") = 0`,
		`1 write(3<\x2f\x72\x2f\x79>, "\x79"..., 3) = 3`,
	} {
		_, err := parse(strings.NewReader(line+"\n"), "/r")
		require.Error(t, err, line)
	}
	ops, err := parse(strings.NewReader(strings.Join([]string{
		`7 fsync(3<\x2f\x72> <unfinished ...>`,
		`8 mkdirat(AT_FDCWD<\x2f>, "\x72\x2f\x79", 0700) = 0`,
		`7 <... fsync resumed>)              = 0`,
		`8 mkdirat(AT_FDCWD<\x2f>, "\x72\x2f\x79", 0700) = -1 EEXIST (File exists)`,
		`8 +++ exited with 0 +++`, ``,
	}, "\n")), "/r")
	require.NoError(t, err)
	require.Equal(t, []Op{{Kind: Mkdir, Path: "y"}, {Kind: Sync}}, ops)
}
