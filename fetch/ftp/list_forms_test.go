package ftp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
)

// What curl and lftp read: one file and one directory in each form, and the time
// as far as the form has it.
func TestForms(t *testing.T) {
	now := time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)
	at := time.Date(2019, 12, 4, 20, 0, 0, 0, time.UTC)
	day := time.Date(2019, 12, 4, 0, 0, 0, 0, time.UTC)
	for form, c := range map[string]struct {
		file, dir string
		time      time.Time
	}{
		"GNU":                 {"-rw-r--r--   1 ftp ftp 1024 Dec 04 20:00 S.exe", "drwxr-xr-x 2 ftp ftp 4096 Dec 04 20:00 d", at},
		"GNU, old":            {"-rw-r--r--   1 ftp ftp 1024 Dec 04  2019 S.exe", "drwxr-xr-x 2 ftp ftp 4096 Dec 04  2019 d", day},
		"GNU, Russian":        {"-rw-r--r--   1 ftp ftp 1024 дек 04 20:00 S.exe", "drwxr-xr-x 2 ftp ftp 4096 дек 04 20:00 d", at},
		"GNU, iso":            {"-rw-r--r--   1 ftp ftp 1024 2019-12-04 20:00 S.exe", "drwxr-xr-x 2 ftp ftp 4096 2019-12-04 20:00 d", at},
		"BSD, day first":      {"-rw-r--r--  1 ftp  ftp  1024 04 Dec 20:00 S.exe", "drwxr-xr-x  2 ftp  ftp  4096 04 Dec 20:00 d", at},
		"IIS":                 {"12-04-19  08:00PM                 1024 S.exe", "12-04-19  08:00PM       <DIR>          d", at},
		"IIS, four digits":    {"12-04-2019  08:00PM                 1024 S.exe", "12-04-2019  08:00PM       <DIR>          d", at},
		"IIS, Russian":        {"04.12.2019  20:00                 1024 S.exe", "04.12.2019  20:00       <DIR>          d", at},
		"IIS, Russian, short": {"04.12.19  20:00                 1024 S.exe", "04.12.19  20:00       <DIR>          d", at},
		"IIS, slashes":        {"12/04/2019  08:00PM                 1024 S.exe", "12/04/2019  08:00PM       <DIR>          d", at},
		"EPLF":                {"+i8388621.48594,m1575489600,r,s1024,\tS.exe", "+i8388621.50690,m1575489600,/,\td", at},
	} {
		t.Run(form, func(t *testing.T) {
			for _, end := range []string{"\n", "\r\n", "\r\r\n"} {
				lines := splitLines("\ufeff" + c.file + end + c.dir + end)
				got := parseLIST(lines, now)
				require.Equal(t, []fetch.Entry{{Name: "S.exe", Size: 1024, Time: c.time}, {Name: "d", Kind: fetch.KindDir, Size: -1, Time: c.time}}, got)
			}
		})
	}
}
