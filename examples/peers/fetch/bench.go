//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A bench is a directory in memory, two servers for it, and our program.
type bench struct {
	dir           string
	plain, secure *server
	fetcher       string
	obscured      string // rclone's form of a password
}

// Directories on the server.
const (
	distribution = "asp"  // what the fetcher looks up
	crowd        = "many" // the root below which the distribution has many files
)

// installer returns the path on the server of the installer of a size.
func installer(size int64) string {
	return fmt.Sprintf("/%d/%s/7.12.100/Setup.exe", size, distribution)
}

// open makes the bench below parent, which should be a tmpfs.
func open(ctx context.Context, parent string) (b bench, err error) {
	if b.dir, err = os.MkdirTemp(parent, "aspupdate-peers-"); err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	for _, name := range []string{"pub", "plain", "secure", "home"} {
		if err := os.Mkdir(filepath.Join(b.dir, name), 0o755); err != nil {
			return b, err
		}
	}
	b.fetcher = filepath.Join(b.dir, "fetcher")
	build := exec.CommandContext(ctx, "go", "build", "-o", b.fetcher, "github.com/aspupdate/aspupdate/examples/peers/fetch/fetcher")
	build.Env = append(os.Environ(), "GOWORK=off") // this module is outside the workspace
	if out, err := build.CombinedOutput(); err != nil {
		return b, fmt.Errorf("cannot build fetcher: %w; run this in the directory of package peers\n%s", err, out)
	}
	obscured, err := exec.CommandContext(ctx, "rclone", "obscure", "anonymous").Output()
	if err != nil {
		return b, fmt.Errorf("rclone obscure: %w", err)
	}
	b.obscured = strings.TrimSpace(string(obscured))
	if b.plain, err = serve(b.root(), filepath.Join(b.dir, "plain"), false); err != nil {
		return b, err
	}
	b.secure, err = serve(b.root(), filepath.Join(b.dir, "secure"), true)
	return b, err
}

// close ends the servers and removes all files.
func (b bench) close() error {
	for _, s := range []*server{b.plain, b.secure} {
		if s != nil {
			s.stop()
		}
	}
	return os.RemoveAll(b.dir)
}

func (b bench) root() string { return filepath.Join(b.dir, "pub") }

// environ returns an environment without the user's settings and proxies.
func (b bench) environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(b.dir, "home"), "LC_ALL=C"}
}

// released is long enough ago that fetch does not wait for an upload to settle.
var released = time.Date(2024, time.January, 15, 12, 0, 0, 0, time.UTC)

// put writes an installer of random bytes and returns its SHA-256.
func (b bench) put(size int64) (string, error) {
	name := filepath.Join(b.root(), installer(size))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	noise := rand.NewChaCha8([32]byte{7, 12, 100})
	_, err = io.CopyBuffer(io.MultiWriter(f, h), io.LimitReader(noise, size), make([]byte, 1<<20))
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close(), os.Chtimes(name, released, released))
}

// take removes the installer of a size, to free its memory.
func (b bench) take(size int64) error {
	return os.RemoveAll(filepath.Join(b.root(), fmt.Sprint(size)))
}

// crowd fills one directory with n small installers and returns the newest
// version.
func (b bench) crowd(n int) (newest string, err error) {
	dir := filepath.Join(b.root(), crowd, distribution)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for i := range n {
		newest = fmt.Sprintf("%d.%02d.%03d", 7+i/10_000, i/500%20+1, i%500+100)
		name := filepath.Join(dir, "Setup_"+newest+".exe")
		if err := os.WriteFile(name, []byte("MZ"), 0o644); err != nil {
			return "", err
		}
		if err := os.Chtimes(name, released, released); err != nil {
			return "", err
		}
	}
	return newest, nil
}

// same returns a check that the downloaded file has a hash.
func same(sum string) func(dir, out string) error {
	return func(dir, _ string) error {
		found := false
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() || (e.Name() != "out" && e.Name() != "Setup.exe") {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil {
				return err
			}
			if found = true; hex.EncodeToString(h.Sum(nil)) != sum {
				return errors.New("the downloaded file differs from the server's")
			}
			return nil
		})
		if err == nil && !found {
			err = errors.New("downloaded nothing")
		}
		return err
	}
}
