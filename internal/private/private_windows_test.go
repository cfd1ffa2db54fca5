package private

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// list gives a file or a directory an access list, in the words of SDDL.
func list(t *testing.T, path, sddl string) {
	t.Helper()
	sd, err := windows.SecurityDescriptorFromString(sddl)
	require.NoError(t, err)
	dacl, _, err := sd.DACL()
	require.NoError(t, err)
	require.NoError(t, windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil))
}

// me is this account in SDDL: with administrators alone Wine would close the
// directory to the test as well.
func me(t *testing.T) string {
	t.Helper()
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	require.NoError(t, err)
	return "(A;OICI;FA;;;" + user.User.Sid.String() + ")"
}

// A directory is closed to other users, whatever they may do in the one above.
func TestMkdirIsClosedToOthers(t *testing.T) {
	others := regexp.MustCompile(`\(A;[^)]*;(WD|BU|AU|IU|S-1-1-0|S-1-5-32-545|S-1-5-11)\)`)
	granted := func(path string) string {
		sd, err := descriptor(path)
		require.NoError(t, err)
		t.Log(path, sd.String())
		return sd.String()
	}
	open := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.Mkdir(open, 0o700))
	list(t, open, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)"+me(t))
	require.Regexp(t, others, granted(open))
	require.ErrorContains(t, Check(open), "is open to ")
	require.ErrorContains(t, Check(open), "icacls")

	private := filepath.Join(open, "private")
	require.NoError(t, Mkdir(private))
	require.NotRegexp(t, others, granted(private))
	// That files inherit the same from their directory is true of Windows, not of Wine.
	require.ErrorIs(t, Mkdir(private), os.ErrExist)
	require.NoError(t, os.WriteFile(filepath.Join(private, "f"), nil, 0o600), "this account can use it")
	require.ErrorContains(t, Check(private), open+" is open to ", "who may write above may put another directory in its place")
	list(t, open, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"+me(t))
	require.NoError(t, Check(private))
}

// Who may only read a file cannot change it; a secret he must not read.
func TestCheckOfAReader(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	list(t, file, "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FR;;;WD)"+me(t))
	require.NoError(t, Check(file))
	require.ErrorContains(t, CheckSecret(file), "(R)")
	secret := filepath.Join(filepath.Dir(file), "secret") // Wine does not take a right to read away again
	require.NoError(t, Mkdir(secret))
	require.NoError(t, CheckSecret(secret))
	list(t, file, "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FW;;;WD)"+me(t))
	require.ErrorContains(t, Check(file), "is open to ")
}

// What inherits only, and what does not exist yet, opens nothing.
func TestCheckOfWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, Check(filepath.Join(dir, "a", "b")))
}
