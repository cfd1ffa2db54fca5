package process_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

func TestRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its commands are shell scripts")
	}
	dir := t.TempDir()
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	require.NoError(t, process.Run(t.Context(), sh("cat > "+dir+"/input"), nil, []byte("an event")))
	got, err := os.ReadFile(filepath.Join(dir, "input"))
	require.NoError(t, err)
	require.Equal(t, "an event", string(got))

	err = process.Run(t.Context(), sh("echo the mailer is down >&2; exit 3"), nil, nil)
	require.ErrorContains(t, err, "/bin/sh: exit status 3: the mailer is down")
	require.NoError(t, process.Run(t.Context(), sh("test -z \"$HOME\" && test \"$A\" = b"), []string{"A=b"}, nil), "nothing but env")
	require.Error(t, process.Run(t.Context(), []string{filepath.Join(dir, "none")}, nil, nil))

	start := time.Now()
	require.NoError(t, process.Run(t.Context(), sh("sleep 20 &"), nil, nil))
	require.Less(t, time.Since(start), 10*time.Second, "a service that it starts does not delay it")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, process.Run(ctx, []string{"/bin/sleep", "20"}, nil, nil))
	require.Less(t, time.Since(start), 15*time.Second)
}
