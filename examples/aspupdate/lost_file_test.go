package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A remover takes a file with it that the previous version's Setup does not bring
// back. Exit codes and the probe say that all is well; the directory of the
// application is not what it was, and a person must decide.
func TestAFileThatTheRemoverTakesIsMissed(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/touch', '${OWN}/closed']\nopen = ['/bin/rm', '-f', '${OWN}/closed']", "remove = ['/bin/sh', '${OWN}/remove.sh']")
	s.installed("7.12.100")
	lost := filepath.Join(s.site, "reports.so")
	s.write(lost, "#!what the people of this site added\n")
	s.write(filepath.Join(s.site, "asp.log"), "it comes and goes\n")
	s.write(filepath.Join(s.own, "remove.sh"), "rm -f '"+s.site+"/version' '"+s.site+"/asp.log' '"+lost+"'\n")
	s.publish("7.12.200", "Setup", "echo broken > $1/version\ntouch $1/left\n")
	code, out := s.run("update", "--yes")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, "the application is not what it was before the update: files are missing that were there before the update: "+lost)
	require.NotContains(t, out, "asp.log")
	require.Contains(t, out, "files are left that were not there before the update: "+filepath.Join(s.site, "left"))
	require.FileExists(t, filepath.Join(s.own, "closed"), "users are kept out")
	require.Equal(t, "7.12.100\n", s.read("version"))

	code, out = s.run("recover", "--retry", "nothing was repaired")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, lost)
	s.write(lost, "#!what the people of this site added\n")
	s.write(filepath.Join(s.own, "remove.sh"), "rm -f '"+s.site+"/version'\n")
	code, out = s.run("recover", "--retry", "the remover was corrected")
	require.Equal(t, exitDone, code, out)
	require.NoFileExists(t, filepath.Join(s.own, "closed"))
	left, err := filepath.Glob(filepath.Join(s.own, "state", "install", "application-*"))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, os.Remove(filepath.Join(s.site, "left")))
}
