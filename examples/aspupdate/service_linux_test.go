package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestServiceUnderSystemd installs, runs and removes the units with a real systemd, which is the first
// process of namespaces of its own, as on a machine: with sandboxes, credentials, accounts and timers.
// Every file of this machine is read-only there.
func TestServiceUnderSystemd(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root makes namespaces")
	}
	realtest.Program(t, "systemctl")
	group := ownGroup(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, self, "systemd-world", program, group)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET}
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	err = cmd.Run() // systemd's own end says nothing
	out := all.String()
	if errors.Is(err, syscall.EPERM) || strings.Contains(out, "no world: ") {
		realtest.Skip(t, "no namespaces, or no cgroup v2, for a systemd of its own here: %v %s", err, out)
	}
	require.Contains(t, out, "\nALL DONE\n", out)
	t.Log(out)
}

// ownGroup makes a control group for a systemd.
func ownGroup(t *testing.T) string {
	mounts, err := os.ReadFile("/proc/mounts")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[2] == "cgroup2" {
			group, err := os.MkdirTemp(f[1], "aspupdate-test-")
			require.NoError(t, err)
			t.Cleanup(func() {
				require.Eventually(t, func() bool {
					_ = filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
						if err == nil && d.IsDir() {
							defer func() { _ = os.Remove(path) }()
						}
						return nil
					})
					_ = exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+").Run()
					_, err := os.Stat(group)
					return err != nil
				}, 20*time.Second, 50*time.Millisecond)
			})
			return group
		}
	}
	realtest.Skip(t, "no cgroup v2")
	return ""
}

// systemdWorld makes this process, the first one of its namespaces, a systemd, beside which the commands
// of serviceScript run.
func systemdWorld(args []string) error {
	built, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	failed := func(what string, err error) error { return fmt.Errorf("no world: %s: %w", what, err) }
	if err := os.WriteFile(filepath.Join(args[1], "cgroup.procs"), []byte("0"), 0o600); err != nil {
		return failed("cgroup", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil { // of this thread, which becomes systemd
		return failed("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return failed("private", err)
	}
	if err := unix.MountSetattr(-1, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return failed("read-only", err)
	}
	for _, m := range [][3]string{
		{"tmpfs", "/tmp", ""}, {"tmpfs", "/run", "mode=755"}, {"tmpfs", "/opt", "mode=755"}, {"tmpfs", "/var", "mode=755"}, {"tmpfs", "/etc/systemd/system", "mode=755"},
		{"proc", "/proc", ""}, {"cgroup2", "/sys/fs/cgroup", ""},
	} {
		if err := unix.Mount("none", m[1], m[0], 0, m[2]); err != nil {
			return failed(m[1], err)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil { // credentials are mounted by a child
		return failed("shared", err)
	}
	const vendor = "/run/vendor"
	for _, dir := range []string{vendor, "/run/systemd/system", "/var/lib", "/var/tmp", odd, filepath.Dir(oddProgram)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, name := range strings.Fields("basic multi-user shutdown timers sysinit default network-online sockets") {
		text := "[Unit]\nDefaultDependencies=no\n"
		if name == "default" {
			text += "Wants=multi-user.target timers.target\n"
		}
		if err := os.WriteFile(filepath.Join(vendor, name+".target"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(oddProgram, built, 0o755); err != nil {
		return err
	}
	commands := exec.Command("bash", "-c", serviceScript)
	commands.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "D=" + odd, "P=" + oddProgram}
	commands.Dir, commands.Stdout, commands.Stderr = "/", os.Stdout, os.Stderr
	if err := commands.Start(); err != nil {
		return err
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "container=lxc", "SYSTEMD_UNIT_PATH=/etc/systemd/system:" + vendor, "SYSTEMD_GENERATOR_PATH=/run/none"}
	return syscall.Exec("/usr/lib/systemd/systemd", []string{"systemd", "--system", "--log-target=console", "--log-level=warning", "--show-status=no"}, env)
}

// What a unit has to quote.
const (
	oddProgram = "/opt/Программа 100% $HOME ;#/aspupdate"
	odd        = "/opt/Опека 100% $HOME ;#"
)

// serviceScript is what an administrator types. It ends the world.
const serviceScript = `
trap 'systemctl --force --force poweroff' EXIT
for i in $(seq 300); do systemctl is-system-running >/dev/null 2>&1 && break; sleep 0.1; done
set -euo pipefail
fail() { echo "FAILED: $*"; exit 1; }
units=/etc/systemd/system
tree() { find /etc/systemd /var/lib/systemd /run/systemd/system /opt -printf '%p %y %l %s\n' 2>/dev/null | sort; }
a() { ASPUPDATE_CONFIG="$D/aspupdate.toml" "$P" "$@"; }
refused() { local want=$1 code=0 out; shift; out=$(a "$@" 2>&1) || code=$?; [ $code != 0 ] || fail "$* succeeded"; [[ $out == *"$want"* ]] || fail "$*: $out"; }

mkdir -p /opt/stick/АСП/7.13.100 /opt/stick/АСП/7.12.100 /opt/app /var/lib/systemd /var/copies
echo 7.12.100 > /opt/app/version
for v in 7.12.100 7.13.100; do echo "echo $v > \$1/version" > /opt/stick/АСП/$v/Setup.sh; touch -d '1 hour ago' /opt/stick/АСП/$v/Setup.sh; done
echo secret > "$D/ftp-password"; chmod 600 "$D/ftp-password"
config() { cat <<END
state = '/var/lib/$1/state'
archive = '/var/lib/$1/archive'
backups = '/var/lib/$1/backups'
$2
[server]
directory = '/opt/stick'
settle = '1ms'
password_file = '\${CREDENTIALS_DIRECTORY}/ftp-password'
[window]
any_time = 'a test'
[deadlines]
probe = '1s'
[application]
no_fence = 'a test'
${3-}
[[distribution]]
name = 'АСП'
launcher = ['/bin/sh']
arguments = ['/opt/app']
unauthenticated = 'a test'
probe = { command = ['/bin/cat', '/opt/app/version'], interval = '50ms', steady = '50ms' }
END
}
config main "live = ['/opt/app']" "[[directory]]
path = '/opt/app'" > "$D/aspupdate.toml"
chmod 600 "$D/aspupdate.toml"
CREDENTIALS_DIRECTORY="$D" a archive import --distribution АСП --version 7.12.100 /opt/stick/АСП/7.12.100/Setup.sh
mkdir /run/vendor/service.d; printf '[Service]\nStandardOutput=append:/run/log\nStandardError=append:/run/log\n' > /run/vendor/service.d/log.conf
systemctl daemon-reload
before=$(tree)

echo "--- refusals change nothing"
refused "nothing is installed" service status
echo "[Service]" > $units/aspupdate-prove.service
refused "aspupdate-prove.service: not written by aspupdate service install" service install
ls $units | grep -v prove && fail "it wrote a unit"
rm $units/aspupdate-prove.service
ln -s /dev/null $units/aspupdate.timer
refused "not written by" service install
rm $units/aspupdate.timer
printf '[Service]\nExecStart=/bin/true\n' > /run/vendor/aspupdate.service; systemctl daemon-reload
refused "/run/vendor/aspupdate.service: not written by" service install
rm /run/vendor/aspupdate.service; systemctl daemon-reload
chmod o+w "$P"
refused "chmod go-w" service install
chmod o-w "$P"
cp "$P" /tmp/aspupdate # which is gone one day, and then anybody's
out=$(ASPUPDATE_CONFIG="$D/aspupdate.toml" /tmp/aspupdate service install 2>&1) && fail "a program in /tmp"
[[ $out == *"chmod go-w /tmp"* ]] || fail "a program in /tmp: $out"
rm /tmp/aspupdate
mv "$D/aspupdate.toml" "$D/good"; sed "s/^password_file.*/password_env = 'OF_THE_SHELL'/" "$D/good" > "$D/aspupdate.toml"; chmod 600 "$D/aspupdate.toml"
OF_THE_SHELL=x refused "as a unit would load it, without the variables of this shell" service install
OF_THE_SHELL=x refused "OF_THE_SHELL" service install
mv "$D/good" "$D/aspupdate.toml"
mkdir -m 700 /opt/\"; cp "$D"/* /opt/\"/; refused "quotes" service install --config '/opt/"/aspupdate.toml'; rm -r /opt/\"
[ "$(tree)" = "$before" ] || fail "a refusal changed: $(diff <(echo "$before") <(tree))"

echo "--- install, again, and after a kill"
a service install
systemctl is-enabled aspupdate-recover.service aspupdate.timer aspupdate-prove.timer aspupdate-backups-prune.timer
[ ! -e $units/aspupdate-watch.service ] && [ ! -e $units/aspupdate-copies-run.service ] || fail "what nothing needs is installed"
[ "$(a service install --json | grep -c '"name"')" = 0 ] || fail "the second installation wrote something"
a service status
rm $units/aspupdate-prove.timer $units/timers.target.wants/aspupdate.timer; touch $units/.aspupdate.timer.tmp-1
systemctl daemon-reload
refused "aspupdate-prove.timer: missing" service status
a service install || { systemctl status aspupdate.timer; systemctl show aspupdate.timer | grep -iE 'err|result|require|condition'; systemctl list-jobs; systemctl list-units --all; fail install; }
a service status
[ ! -e $units/.aspupdate.timer.tmp-1 ] || fail "half a file stays"

echo "--- changed by hand"
echo "# mine" >> $units/aspupdate.timer
refused "aspupdate.timer: changed" service status
refused "changed by hand" service install
refused "changed by hand" service remove
a service install --replace
mkdir $units/aspupdate.service.d; printf '[Service]\nNice=5\n' > $units/aspupdate.service.d/mine.conf; systemctl daemon-reload
a service status | grep mine.conf
rm -r $units/aspupdate.service.d; systemctl daemon-reload

echo "--- each unit once; the timer's unit updates"
systemctl start aspupdate-recover.service
systemctl start aspupdate.service || { cat /run/log; fail update; }
[ "$(cat /opt/app/version)" = 7.13.100 ] || fail "no update"
for u in prove archive-verify archive-prune backups-verify backups-prune; do systemctl start aspupdate-$u.service || { cat /run/log; fail $u; }; done
a service status | tee /tmp/status
[ $(grep -c 'success' /tmp/status) = 7 ] || fail "not all have run"
grep -q 'aspupdate.timer.*202' /tmp/status || fail "no next run"
mkdir $units/aspupdate.service.d; printf '[Service]\nExecStart=\nExecStart=/bin/false\n' > $units/aspupdate.service.d/x.conf; systemctl daemon-reload
systemctl start aspupdate.service && fail "false succeeded"
refused "aspupdate.service: the last run failed: exit-code, exit code 1" service status
rm -r $units/aspupdate.service.d; systemctl daemon-reload; systemctl start aspupdate.service; a service status --quiet

echo "--- watch, and what the configuration needs no more"
config aspupdate-watch "no_data = 'a test'" > "$D/watch.toml"
refused "unknown user" service install --account unknown-account
chmod 755 "$D"; chmod 644 "$D/watch.toml"
a service install --account nobody
for i in $(seq 100); do [ -e /var/lib/aspupdate-watch/state/watch.json ] && break; sleep 0.1; done
grep -q 7.13.100 /var/lib/aspupdate-watch/state/watch.json || { systemctl status aspupdate-watch; fail "it does not watch"; }
[ "$(stat -c %U /var/lib/aspupdate-watch/state/watch.json)" = nobody ] || fail "who watches?"
a service status --account nobody
rm "$D/watch.toml"
refused "aspupdate-watch.service: unneeded" service status
a service install | grep "aspupdate-watch.service: removed"
[ "$(systemctl is-active aspupdate-watch.service)" = inactive ] || fail "it still watches"

echo "--- a service that ends while it is waited for is started again"
mkdir /opt/mortal /opt/stick/АСП/7.14.100
echo 'v=$(cat /opt/app/version); [ $v = 7.13.100 ] || [ -e /opt/mortal/ended ] || { sleep 4; touch /opt/mortal/ended; exit 1; }; echo $v > /opt/mortal/answer; exec sleep 600' > /opt/mortal/run
echo 'echo 7.14.100 > $1/version; rm /opt/mortal/answer' > /opt/stick/АСП/7.14.100/Setup.sh; touch -d '1 hour ago' /opt/stick/АСП/7.14.100/Setup.sh
printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh /opt/mortal/run\n[Install]\nWantedBy=multi-user.target\n' > $units/mortal.service
systemctl daemon-reload; systemctl enable --now mortal.service
config mortal "live = ['/opt/app']" "services = ['mortal']
[[directory]]
path = '/opt/app'" | sed "s|/opt/app/version'\]|/opt/mortal/answer']|; s/probe = '1s'/probe = '1m'/" > "$D/mortal.toml"
chmod 600 "$D/mortal.toml"
m() { CREDENTIALS_DIRECTORY="$D" ASPUPDATE_CONFIG="$D/mortal.toml" "$P" "$@"; }
m archive import --distribution АСП --version 7.13.100 /opt/stick/АСП/7.13.100/Setup.sh
m update || fail "the update with a service that ends"
[ -e /opt/mortal/ended ] && [ "$(cat /opt/mortal/answer)" = 7.14.100 ] && systemctl is-active mortal.service || fail "not started again"
systemctl disable --now mortal.service; rm -r $units/mortal.service /opt/mortal "$D/mortal.toml" /opt/stick/АСП/7.14.100 /var/lib/mortal; systemctl daemon-reload; systemctl reset-failed

echo "--- remove"
printf '#!/bin/sh\nsleep 600\n' > /opt/stick/sleeps; chmod +x /opt/stick/sleeps
mkdir $units/aspupdate.service.d; printf '[Service]\nExecStart=\nExecStart=/opt/stick/sleeps\n' > $units/aspupdate.service.d/x.conf; systemctl daemon-reload
systemctl start --no-block aspupdate.service
for i in $(seq 100); do [ "$(systemctl is-active aspupdate.service || true)" = activating ] && break; sleep 0.1; done
refused "an update is running" service remove
systemctl stop aspupdate.service; systemctl reset-failed aspupdate.service; rm -r $units/aspupdate.service.d /opt/stick/sleeps; systemctl daemon-reload
ln -sf $units/aspupdate-copies-run.timer $units/timers.target.wants/aspupdate-copies-run.timer # its file is lost
a service remove
a service remove | grep "nothing to change"
after=$(tree)
left=$(diff <(echo "$before") <(echo "$after") | grep '^[<>]' | grep -Ev ' (/opt/app|/opt/app/version|/var/lib/systemd|/var/lib/systemd/timers) ' || true)
[ -z "$left" ] || fail "something is left: $left"
for i in $(seq 100); do known=$(systemctl list-units --all --no-legend 'aspupdate*' | grep -v 'not-found *inactive *dead' || true); [ -z "$known" ] && break; sleep 0.1; done
[ -z "$known" ] || fail "systemd knows of them: $known"
echo; echo "ALL DONE"
`
