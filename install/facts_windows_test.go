package install

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// throwaway skips a test that changes the machine on any but one of Wine's.
func throwaway(t *testing.T) {
	t.Helper()
	if os.Getenv(packagesVar) == "" {
		t.Skip("it changes the registry: TestUnderWine runs it")
	}
}

// withKey makes a key of the machine's, and removes it.
func withKey(t *testing.T, path string, do func(registry.Key)) {
	t.Helper()
	k, existed, err := registry.CreateKey(registry.LOCAL_MACHINE, path, registry.ALL_ACCESS|registry.WOW64_64KEY)
	require.NoError(t, err)
	defer func() {
		require.NoError(t, k.Close())
		if !existed {
			require.NoError(t, registry.DeleteKey(registry.LOCAL_MACHINE, path))
		}
	}()
	do(k)
}

func TestRebootPendingOfWindows(t *testing.T) {
	throwaway(t)
	check := NoRebootPending()
	session := func(name string, pairs []string) {
		t.Helper()
		withKey(t, sessionKey, func(k registry.Key) {
			require.NoError(t, k.SetStringsValue(name, pairs))
			defer func() { require.NoError(t, k.DeleteValue(name)) }()
			err := check.Run(t.Context())
			if len(pairs) == 0 {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "files are to be replaced")
		})
	}
	withKey(t, sessionKey, func(k registry.Key) { // whatever is left of earlier tests
		for _, name := range []string{"PendingFileRenameOperations", "PendingFileRenameOperations2"} {
			if err := k.DeleteValue(name); err != nil {
				require.ErrorIs(t, err, fs.ErrNotExist)
			}
		}
	})
	require.NoError(t, check.Run(t.Context()))
	session("PendingFileRenameOperations", []string{`\??\C:\asp\a.tmp`, `\??\C:\asp\a.exe`})
	session("PendingFileRenameOperations2", []string{`\??\C:\asp\a.tmp`, ``})
	session("PendingFileRenameOperations", nil)
	for key, who := range map[string]string{servicingKey: "parts of Windows", updateKey: "Windows Update"} {
		withKey(t, key, func(registry.Key) { require.ErrorContains(t, check.Run(t.Context()), who) })
		require.NoError(t, check.Run(t.Context()))
	}

	r, events := newRunner(t)
	withKey(t, updateKey, func(registry.Key) {
		_, err := r.Run(t.Context(), fake(t))
		require.NoError(t, err, "it is reported and does not block")
	})
	require.Equal(t, eventRebootPending, (*events)[0].Kind)
	require.Contains(t, (*events)[0].Text, "Windows Update")
}

func TestFrameworkOfWindows(t *testing.T) {
	throwaway(t)
	withKey(t, frameworkKey, func(k registry.Key) {
		had, _, err := k.GetIntegerValue("Release")
		if err == nil {
			defer func() { require.NoError(t, k.SetDWordValue("Release", uint32(had))) }()
			require.NoError(t, k.DeleteValue("Release"))
		} else {
			defer func() { require.NoError(t, k.DeleteValue("Release")) }()
		}
		require.ErrorContains(t, DotNetFramework("4.5").Run(t.Context()), "no version from 4.5 on")
		require.NoError(t, k.SetDWordValue("Release", 461814))
		require.NoError(t, DotNetFramework("4.7.2").Run(t.Context()))
		require.ErrorContains(t, DotNetFramework("4.8").Run(t.Context()), "4.7.2 is installed")
	})
}

// Rights of real tokens: with this process's token, and with the one that
// the same user has without an administrator's rights.
func TestRightsOfTokens(t *testing.T) {
	throwaway(t)
	require.NoError(t, Elevated().Run(t.Context()))
	require.NoError(t, new(Runner).Ready(t.Context(), Command{Kind: MSI}))

	linked, err := windows.GetCurrentProcessToken().GetLinkedToken()
	require.NoError(t, err)
	defer func() { _ = linked.Close() }()
	var primary windows.Token
	require.NoError(t, windows.DuplicateTokenEx(linked, windows.MAXIMUM_ALLOWED, nil, windows.SecurityImpersonation, windows.TokenPrimary, &primary))
	defer func() { _ = primary.Close() }()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, string(MSI))
	cmd.Env = append(BaseEnv(), fakeRole+"=rights")
	cmd.SysProcAttr = &syscall.SysProcAttr{Token: syscall.Token(primary)}
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Log(string(exit.Stderr))
	}
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		require.Contains(t, line, ErrPermission.Error())
	}
}
