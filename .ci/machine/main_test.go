//go:build linux

package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestMain is also the server that a command leaves.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "listen" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.Addr())
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// watched runs a shell's command and returns the exit code and what was said.
func watched(t *testing.T, root, script string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	log.SetFlags(0)
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	code := run([]string{"sh", "-c", script}, root, 300*time.Millisecond)
	for _, p := range descendants(os.Getpid()) { // the test leaves nothing itself
		other, err := os.FindProcess(p.pid)
		require.NoError(t, err)
		_ = other.Kill()
	}
	reap()
	return code, out.String()
}

// machineOf returns the root of a small machine.
func machineOf(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/crontab": "# none\n",
		"var/spool/cron/crontabs/root": "@daily true\n", "var/lib/x/y/z": "", "home/clerk/letter": "",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
	}
	return root
}

func TestAMachineThatIsAsItWas(t *testing.T) {
	root := machineOf(t)
	code, said := watched(t, root, `f=$(mktemp) && rm "$f"; echo x > `+root+`/home/clerk/letter; mkdir `+root+`/var/lib/new; exit 0`)
	require.Zero(t, code, said)
	require.Empty(t, said)
	code, said = watched(t, root, "exit 3")
	require.Equal(t, 3, code)
	require.Empty(t, said)
}

func TestWhatACommandLeaves(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for name, c := range map[string]struct{ script, say string }{
		// What a helper of the tests did three times: a mode for the parent's parent.
		"the temporary directory": {`d=$TMPDIR/TestX/001 && mkdir -p $d && chmod 755 $d $d/.. $d/../.. && rm -r $TMPDIR/TestX`, `: was dtrwxrwxrwx of .*, is drwxr-xr-x of `},
		"a mode":                  {`chmod 777 $ROOT/var/lib`, `/var/lib: was directory drwxr-xr-x of .*, is directory drwxrwxrwx of `},
		"a mode of /":             {`chmod 700 $ROOT`, `/: was directory drwx`},
		"a user":                  {`echo 'eve:x:0:0::/:/bin/sh' >> $ROOT/etc/passwd`, `new: passwd eve \(eve:x:0:0::/:/bin/sh\)`},
		"a group":                 {`echo 'root:x:0:eve' > $ROOT/etc/group`, `group root: was root:x:0:, is root:x:0:eve`},
		"a cron entry":            {`echo '@daily evil' >> $ROOT/var/spool/cron/crontabs/root`, `/var/spool/cron/crontabs/root: was .*, is `},
		"a cron file":             {`mkdir $ROOT/etc/cron.d; touch $ROOT/etc/cron.d/x`, `new: /etc/cron.d/x `},
		"a link":                  {`ln -s /tmp/x $ROOT/etc/unit`, `new: /etc/unit .* to /tmp/x`},
		"what was removed":        {`rm -r $ROOT/home/clerk`, `gone: /home/clerk `},
		"a lost directory":        {`rm -r $ROOT/var/lib/x`, `gone: /var/lib/x `},
		"a process":               {`setsid sleep 61 &`, `process \d+ is left: sleep 61`},
		"a daemon":                {`(setsid sh -c 'sleep 62 & sleep 63' &) &`, `process \d+ is left: sleep 62`},
		"a server":                {self + ` listen > $TMPDIR/said & until [ -s $TMPDIR/said ]; do sleep 0.01; done; rm $TMPDIR/said`, `new: tcp port \d+ `},
	} {
		t.Run(name, func(t *testing.T) {
			root := machineOf(t)
			t.Setenv("ROOT", root)
			code, said := watched(t, root, c.script)
			require.Regexp(t, c.say, said)
			require.Equal(t, 1, code)
		})
	}
}

func TestWhatIsMounted(t *testing.T) {
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "aspupdate-test", dir).Run(); err != nil {
		realtest.Skip(t, "this user may not mount")
	}
	before := state{}
	before.mounts()
	require.NoError(t, exec.Command("umount", dir).Run())
	after := state{}
	after.mounts()
	require.Contains(t, compare(after, before), "new: mount "+dir+" (/ rw,relatime; )")
}

func TestAnOldGroupMayGo(t *testing.T) {
	require.Empty(t, compare(state{group + "/g/aspupdate-1": "there"}, state{}))
	require.NotEmpty(t, compare(state{}, state{group + "/g/aspupdate-1": "there"}))
}

// Tests wait until the processes that they ended are gone.
func TestOrphansAreReaped(t *testing.T) {
	code, out := watched(t, machineOf(t), `pid=$(sh -c 'sleep 0.1 >/dev/null & echo $!'); for i in $(seq 100); do kill -0 $pid 2>/dev/null || exit 0; sleep 0.1; done; exit 7`)
	require.NotEqual(t, 7, code, out)
}

// The whole directory is removed with it.
func TestATemporaryFileIsReportedOnly(t *testing.T) {
	_, out := watched(t, machineOf(t), `mktemp -d $TMPDIR/aspupdate-test-XXXX`)
	require.Contains(t, out, "left in the temporary directory: aspupdate-test-")
}
