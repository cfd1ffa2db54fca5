package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	ftp "goftp.io/server/v2"
	"goftp.io/server/v2/driver/file"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// distribution is named in Cyrillic, as the vendor's distributions are.
const distribution = "АСП"

// A change is what a release does. It is written at the end of the release's
// installer, which is a copy of this program.
type change struct {
	Version    string
	Statements []string
	Pause      time.Duration // after each statement
	Slow       []string      // the databases of an office that have the pause
}

const mark = "\n#aspupdate-demo-release "

// readChange returns the change at the end of an installer.
func readChange(installer string) (c change, err error) {
	f, err := os.Open(installer)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil {
		return c, err
	}
	tail := make([]byte, min(fi.Size(), 4096))
	if _, err := f.ReadAt(tail, fi.Size()-int64(len(tail))); err != nil {
		return c, err
	}
	i := bytes.LastIndex(tail, []byte(mark))
	if i < 0 {
		return c, fmt.Errorf("%s is not the installer of a release", installer)
	}
	return c, json.Unmarshal(tail[i+len(mark):], &c)
}

// A vendor is the FTP server with its releases.
type vendor struct {
	root, program  string
	port           int
	user, password string
	server         *ftp.Server
	sums           map[string]string // pinned hashes by version
}

// openVendor starts an FTP server on loopback that serves the directory root.
func openVendor(root, program string) (*vendor, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	driver, err := file.NewDriver(root)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	v := &vendor{root: root, program: program, port: port, user: "site", password: "demo", sums: map[string]string{}}
	v.server, err = ftp.NewServer(&ftp.Options{
		Name: "the vendor", Driver: driver, Hostname: "127.0.0.1", PublicIP: "127.0.0.1", Port: port,
		Auth: &ftp.SimpleAuth{Name: v.user, Password: v.password}, Perm: ftp.NewSimplePerm("vendor", "vendor"),
		Logger: &ftp.DiscardLogger{},
	})
	if err != nil {
		return nil, err
	}
	go func() { _ = v.server.ListenAndServe() }() // ends with Shutdown; clients report any other failure
	return v, nil
}

func (v *vendor) close() { _ = v.server.Shutdown() }

// build writes a release's installer to a directory and pins its hash, as if
// the vendor had given it by phone.
func (v *vendor) build(dir string, c change) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	in, err := os.Open(v.program)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	path = filepath.Join(dir, "Setup"+filepath.Ext(v.program))
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700) //nolint:gosec // an executable
	if err != nil {
		return "", err
	}
	tail, err := json.Marshal(c)
	if err != nil {
		return "", errors.Join(err, out.Close())
	}
	sum := sha256.New()
	both := io.MultiWriter(out, sum)
	_, err = io.Copy(both, in)
	if err == nil {
		_, err = fmt.Fprintf(both, "%s%s", mark, tail)
	}
	v.sums[c.Version] = hex.EncodeToString(sum.Sum(nil))
	// As if it had been uploaded an hour ago, and not changed since.
	old := time.Now().Add(-time.Hour)
	return path, errors.Join(err, out.Close(), os.Chtimes(path, old, old))
}

// publish puts a release on the server. No history is kept there (R10).
func (v *vendor) publish(c change) error {
	base := filepath.Join(v.root, distribution)
	if err := durable.RemoveAll(base); err != nil {
		return err
	}
	_, err := v.build(filepath.Join(base, c.Version), c)
	return err
}
