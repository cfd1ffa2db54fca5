package process

import (
	"fmt"
	"path/filepath"
	"strings"
)

// CheckBatch returns an error if the program is a batch file of Windows, or the
// interpreter of batch files, and an argument has a character that it would take apart:
// a part of the argument would run as a command. There is no quoting that all of them
// understand.
func CheckBatch(program string, args []string) error {
	name := strings.ToLower(program[strings.LastIndexAny(program, `/\`)+1:])
	switch filepath.Ext(name) {
	case ".bat", ".cmd":
		args = append([]string{program}, args...)
	default:
		if name != "cmd" && name != "cmd.exe" {
			return nil
		}
	}
	for _, arg := range args {
		if i := strings.IndexAny(arg, "&|<>^%!\"\r\n\x00"); i >= 0 {
			return fmt.Errorf("an argument of the batch file %s contains %q, which cmd.exe would take apart; remove it, or pass the value in a variable of the environment", name, arg[i])
		}
	}
	return nil
}
