package site

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aspupdate/aspupdate/install"
)

// statuses are what an exit code of an installer may mean.
var statuses = []string{string(install.OK), string(install.RebootNeeded), string(install.Busy), string(install.Canceled), string(install.Failed)}

// codePages are those that an installer's output may be in.
var codePages = []string{"utf-8", "866", "1251", "koi8-r"}

// codes returns the meaning of exit codes that differ from those of the kind. A code
// is written as "1223" or "0x8007015e".
func (d distributionConfig) codes() (install.Codes, error) {
	codes := install.Codes{}
	for text, status := range d.Codes {
		code, err := strconv.ParseUint(text, 0, 32)
		if err != nil {
			return nil, fmt.Errorf("codes: invalid exit code %q: write it as 1223 or 0x8007015e", text)
		}
		if !slices.Contains(statuses, status) {
			return nil, fmt.Errorf("codes: %s = %q: allowed are %s", text, status, strings.Join(statuses, ", "))
		}
		v := install.Verdict{Status: install.Status(status), Meaning: status + ", by the configuration"}
		if v.Status != install.OK {
			v.Next = "read the log of the installer"
		}
		codes[uint32(code)] = v
	}
	return codes, nil
}
