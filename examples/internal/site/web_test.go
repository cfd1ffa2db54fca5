package site

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
)

// A web server in the place of the FTP server, directly and through a proxy.
func TestAWebServerInThePlaceOfTheServer(t *testing.T) {
	root := t.TempDir()
	full := filepath.Join(root, "АСП", "9.23.100", "Setup.exe")
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o700))
	require.NoError(t, os.WriteFile(full, []byte("installer"), 0o600))
	require.NoError(t, os.Chtimes(full, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "site" || password != proxyPassword {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.StripPrefix("/updates", http.FileServer(http.Dir(root))).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	proxy := startProxy(t, socks5)
	configured := func(t *testing.T, keys string) (*Site, error) {
		dir := t.TempDir()
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		for name, text := range map[string]string{"ca.pem": string(ca), "password": proxyPassword, "wrong": "battery-staple"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		keys = strings.NewReplacer("DIR", dir, "URL", server.URL+"/updates").Replace(keys)
		path := filepath.Join(dir, "aspupdate.toml")
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(goodConfig(dir), "address = '127.0.0.1:1'", "settle = '1ms'\n"+keys, 1)), 0o600))
		c, err := Load(path)
		return &Site{Config: c}, err
	}
	const good = "url = 'URL'\nuser = 'site'\ntls_ca = 'DIR/ca.pem'\n"
	for name, keys := range map[string]string{
		"directly": good + "password_file = 'DIR/password'",
		"by SOCKS": good + "password_file = 'DIR/password'\nproxy = 'socks5://site@" + proxy.addr + "'\nproxy_password_file = 'DIR/password'",
	} {
		s, err := configured(t, keys)
		require.NoError(t, err, name)
		require.NoError(t, s.Fetch(t.Context()), name)
		items, err := s.Archive().List()
		require.NoError(t, err)
		require.Len(t, items, 1)
		require.Equal(t, server.URL+"/updates/%D0%90%D0%A1%D0%9F/9.23.100/Setup.exe", items[0].Source)
		require.NotContains(t, fmt.Sprintf("%+v %#v", s, s.Config.Server), proxyPassword)
	}
	require.NotZero(t, proxy.tunnels.Load())
	s, err := configured(t, good+"password_file = 'DIR/wrong'")
	require.NoError(t, err)
	require.ErrorIs(t, s.Fetch(t.Context()), fetch.ErrCredentials)
	for keys, want := range map[string]string{
		good + "address = 'ftp.example.org'":      "server.url excludes",
		good + "tls = 'explicit'":                 "server.url excludes",
		"url = 'http://127.0.0.1/'":               "write it as https://",
		"url = 'https://site:battery@127.0.0.1/'": "write it as https://",
	} {
		_, err := configured(t, keys)
		require.ErrorIs(t, err, ErrConfig, keys)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "battery")
	}
}
