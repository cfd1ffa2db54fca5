package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVersionInstalledByHandIsAdopted installs a version by hand, as support
// may do. The journal has another version, so updates are refused until the
// installed one is adopted.
func TestVersionInstalledByHandIsAdopted(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']\n[[directory]]\npath = '${SITE}'", "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	code, out := s.run("update")
	require.Zero(t, code, out)

	s.installed("7.12.250")
	s.publish("7.12.300", "Setup", "echo 7.12.300 > $1/version\n")
	code, out = s.run("update")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "adopt it")
	code, out = s.run("adopt", "--reason", "the support installed it by hand")
	require.Zero(t, code, out)
	code, out = s.run("update")
	require.Zero(t, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "committed 7.12.300")
}
