package install

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// A success that the installer's own log contradicts is reported, and is a failure
// where the log is certain.
func TestOwnLogsAreSearchedForFailures(t *testing.T) {
	wide := func(text string) string {
		b := []byte(utf16Mark)
		for _, u := range utf16.Encode([]rune(text)) {
			b = binary.LittleEndian.AppendUint16(b, u)
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		kind    Kind
		log     string
		tells   string
		certain bool
	}{
		"msi, done":              {MSI, wide("Action ended: InstallFinalize. Return value 1.\r\nProduct: ASP -- Installation completed successfully.\r\n"), "", false},
		"msi, failed":            {MSI, wide("Опека: Action ended. Return value 3.\r\nProduct: ASP -- Installation failed.\r\n"), "Product: ASP -- Installation failed.", true},
		"msi, an action":         {MSI, "Action ended 12:00:00: Migrate. Return value 3.\r\n", "Return value 3.", false},
		"msi, an action ignored": {MSI, wide("CustomAction Migrate returned actual error code 1603 but will be translated to success due to continue marking\r\nДействие закончено 12:00:00: Migrate.\r\nProduct: ASP -- Installation completed successfully.\r\n"), "CustomAction Migrate returned actual error code 1603", false},
		"inno, done":             {Inno, "2026-01-12 10:00:00.000   Installation process succeeded.\r\n2026-01-12 10:00:00.000   -- Run entry --\r\n2026-01-12 10:00:00.000   Process exit code: 0\r\n", "", false},
		"inno, its script":       {Inno, "2026-01-12 10:00:00.000   CurStepChanged raised an exception.\r\n2026-01-12 10:00:00.000   Exception message:\r\n", "CurStepChanged raised an exception.", false},
		"inno, what it runs":     {Inno, "2026-01-12 10:00:00.000   Process exit code: 3\r\n", "Process exit code: 3", false},
		"burn, done":             {Burn, "[0A:0B]i399: Apply complete, result: 0x0, restart: None\r\n", "", false},
		"burn, failed":           {Burn, "[0A:0B]i399: Apply complete, result: 0x80070643, restart: None\r\n", "0x80070643", true},
		"nsis writes no log":     {NSIS, "Runtime error (at 1:2)", "", false},
		"an empty log":           {MSI, "", "", false},
		"half a character":       {MSI, "\xff\xfe\x41", "", false},
	} {
		path := filepath.Join(t.TempDir(), "log")
		require.NoError(t, os.WriteFile(path, []byte(c.log), 0o600))
		r, events := newRunner(t)
		out := Outcome{Status: OK}
		r.heed(record{Kind: c.kind, OwnLog: path}, &out)
		texts := eventsOf(events, eventWarning)
		if c.tells == "" {
			require.Empty(t, texts, name)
		} else {
			require.Len(t, texts, 1, name)
			require.Contains(t, texts[0], c.tells, name)
		}
		require.Equal(t, c.certain, out.Status == Failed, name)
		out = Outcome{Status: Busy}
		r.heed(record{Kind: c.kind, OwnLog: path}, &out)
		require.Equal(t, Busy, out.Status, "what is no success stays what it is")
	}
}
