package install

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// The directory that programs run from is closed to other users, whatever they
// may do in the directory above.
func TestPrivateDirectoryIsClosedToOthers(t *testing.T) {
	others := regexp.MustCompile(`\(A;[^)]*;(WD|BU|AU|IU|S-1-1-0|S-1-5-32-545|S-1-5-11)\)`)
	granted := func(path string) string {
		sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
		require.NoError(t, err)
		t.Log(path, sd.String())
		return sd.String()
	}
	open := filepath.Join(t.TempDir(), "open")
	sd, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(open, 0o700))
	dacl, _, err := sd.DACL()
	require.NoError(t, err)
	require.NoError(t, windows.SetNamedSecurityInfo(open, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil))
	require.Regexp(t, others, granted(open))

	private := filepath.Join(open, "private")
	require.NoError(t, mkdirPrivate(private))
	require.NotRegexp(t, others, granted(private))
	// That files inherit the same from their directory is true of Windows, not of Wine.
	require.ErrorIs(t, mkdirPrivate(private), os.ErrExist)
}
