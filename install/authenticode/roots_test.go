package authenticode_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install/authenticode"
)

func TestLoadRoots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roots.pem")
	_, err := authenticode.LoadRoots(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("no certificate"), 0o600))
	_, err = authenticode.LoadRoots(path)
	require.ErrorContains(t, err, "has no certificate in PEM")

	server := httptest.NewTLSServer(nil)
	defer server.Close()
	cert := server.Certificate()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600))
	roots, err := authenticode.LoadRoots(path)
	require.NoError(t, err)
	require.Equal(t, cert.Raw, roots[0].Raw)
}
