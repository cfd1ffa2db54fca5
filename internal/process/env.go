package process

import (
	"cmp"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// BaseEnv returns the part of this process's environment that describes the
// machine: the search path, the home directory, the language and time zone, and
// the directories that Windows publishes in variables. Everything else, such as
// passwords, is left out. So are the directories for temporary files: who runs a
// program to its end gives it one of its own.
func BaseEnv() []string {
	names := strings.Fields(baseNames)
	env := []string{} // never nil, which package os/exec reads as all of ours
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		name = strings.ToUpper(name)
		if slices.Contains(names, name) || strings.HasPrefix(name, "LC_") {
			env = append(env, kv)
		}
	}
	return env
}

const baseNames = "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ " +
	"SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT OS COMPUTERNAME USERNAME USERDOMAIN USERPROFILE " +
	"HOMEDRIVE HOMEPATH PUBLIC ALLUSERSPROFILE APPDATA LOCALAPPDATA PROGRAMDATA " +
	"PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 " +
	"NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER PROCESSOR_LEVEL PROCESSOR_REVISION"

// WithTemp returns env with dir as the directory for temporary files. A variable
// that env names itself stays: it was chosen by a person.
func WithTemp(env []string, dir string) []string {
	env = slices.Clone(env)
	for _, name := range tempNames() {
		named := slices.ContainsFunc(env, func(kv string) bool {
			n, _, _ := strings.Cut(kv, "=")
			return n == name || runtime.GOOS == "windows" && strings.EqualFold(n, name)
		})
		if !named {
			env = append(env, name+"="+dir)
		}
	}
	return env
}

func tempNames() []string {
	if runtime.GOOS == "windows" {
		return []string{"TEMP", "TMP"}
	}
	return []string{"TMPDIR"}
}

// prepare returns a command like cmd whose processes carry the mark.
func prepare(cmd *exec.Cmd, mark string) *exec.Cmd {
	env := cmd.Env
	if env == nil {
		env = BaseEnv()
	}
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return strings.HasPrefix(kv, marker+"=") })
	return &exec.Cmd{
		Path: cmd.Path, Args: cmd.Args, Env: append(env, marker+"="+mark), Dir: cmd.Dir, Err: cmd.Err,
		Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, ExtraFiles: cmd.ExtraFiles,
		WaitDelay: cmp.Or(cmd.WaitDelay, outputTimeout), SysProcAttr: cmd.SysProcAttr,
	}
}
