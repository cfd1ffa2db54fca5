package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// An nginxConfig keeps users out by a file that a server block of nginx includes.
type nginxConfig struct {
	Include    string          `toml:"include"`     // the file
	Allow      []string        `toml:"allow"`       // addresses that are let in, besides those of this machine's loopback
	RetryAfter strict.Duration `toml:"retry_after"` // when users may come back
	Test       []string        `toml:"test"`        // tests nginx's configuration; empty is nginx -t
	Reload     []string        `toml:"reload"`      // has nginx read it again; empty is nginx -s reload
	URL        string          `toml:"url"`         // of the site; asked after closing, from an address that is let in and from one that is not
}

func (c *nginxConfig) on() bool { return c.Include != "" }

func (c *nginxConfig) check() (m mistakes) {
	if !c.on() {
		m.when(len(c.Allow)+len(c.Test)+len(c.Reload)+len(c.URL) > 0 || c.RetryAfter != 0, "application.nginx.include is missing: give a file that the server block of nginx includes")
		return m
	}
	m.when(!filepath.IsAbs(c.Include), "application.nginx.include = %q: give an absolute path", c.Include)
	fi, err := os.Lstat(c.Include)
	m.when(filepath.IsAbs(c.Include) && (err != nil || !fi.Mode().IsRegular()), "application.nginx.include = %q: make an empty file, and include it in the server block of nginx", c.Include)
	if len(m) == 0 {
		m.add(readable("application.nginx.include", c.Include)) // root reads it, and replaces it
	}
	m.when(c.URL != "" && !isSite(c.URL), "application.nginx.url = %q: give the site's address, such as http://127.0.0.1/", c.URL)
	for _, a := range c.Allow {
		_, err := netip.ParseAddr(a)
		m.when(err != nil || strings.Contains(a, "%"), "application.nginx.allow has %q: give an address such as 192.0.2.7", a)
	}
	return m
}

// nginxMark is the first line of the file while users are kept out.
const nginxMark = "# Users are kept out by aspupdate, which puts back what was here."

// closed returns the file that keeps users out. nginx carries out such rules before it chooses a location.
func (c *nginxConfig) closed() []byte {
	var b strings.Builder
	b.WriteString(nginxMark + "\nset $aspupdate_out 1;\n")
	for _, a := range append([]string{"127.0.0.1", "::1"}, c.Allow...) {
		addr, _ := netip.ParseAddr(a) // check has read it
		fmt.Fprintf(&b, "if ($remote_addr = \"%s\") { set $aspupdate_out 0; }\n", addr)
	}
	fmt.Fprintf(&b, "add_header Retry-After %d always;\nif ($aspupdate_out) { return 503; }\n", c.retryAfter())
	return []byte(b.String())
}

// retryAfter returns the seconds after which users may come back.
func (c *nginxConfig) retryAfter() int {
	if c.RetryAfter == 0 {
		return int((30 * time.Minute).Seconds())
	}
	return int(time.Duration(c.RetryAfter).Seconds())
}

// An nginxFence is that file as a part of the fence.
type nginxFence struct {
	nginxConfig
	copy         string // what was in the file
	test, reload roles.Command
}

func (s *Site) nginx() nginxFence {
	c := s.Config.Application.Nginx
	command := func(given []string, usual ...string) roles.Command {
		if len(given) == 0 {
			given = usual
		}
		return roles.Command{Argv: given, State: s.records()}
	}
	return nginxFence{c, filepath.Join(s.Config.State, "nginx", "before"), command(c.Test, "nginx", "-t"), command(c.Reload, "nginx", "-s", "reload")}
}

// Close writes the file, unless it is there, and has nginx read it. A file that nginx does not
// accept, or does not include, is not left. With URL it waits until nginx follows the file: a reload
// is carried out later.
func (n nginxFence) Close(ctx context.Context) error {
	have, err := readFile(n.Include)
	if err != nil {
		return err
	}
	if !isClosed(have) {
		if err := replaceFile(n.copy, have); err != nil {
			return fmt.Errorf("cannot keep what is in %s: %w", n.Include, err)
		}
	}
	if err := n.write(n.closed()); err != nil {
		return err
	}
	if err := n.accepted(ctx); err != nil {
		return errors.Join(err, n.putBack())
	}
	if err := n.reload.Run(ctx, nil); err != nil || n.URL == "" {
		return err
	}
	return n.keepsOut(ctx)
}

// Open puts back what was in the file, and has nginx read it also if it is there: a process may have
// been killed between the two.
func (n nginxFence) Open(ctx context.Context) error {
	if err := n.putBack(); err != nil {
		return err
	}
	return n.commands().Open(ctx)
}

// Closed reports whether the file keeps users out.
func (n nginxFence) Closed(context.Context) (bool, error) {
	have, err := readFile(n.Include)
	return isClosed(have), err
}

// Settle settles a command that a process before this one left running.
func (n nginxFence) Settle(ctx context.Context) (bool, error) { return n.commands().Settle(ctx) }

func (n nginxFence) commands() roles.Switch { return roles.Switch{Off: n.test, On: n.reload} }

func isClosed(text []byte) bool { return strings.HasPrefix(string(text), nginxMark) }

// putBack puts back what was in the file, unless a person has done so.
func (n nginxFence) putBack() error {
	have, err := readFile(n.Include)
	if err != nil || !isClosed(have) {
		return err
	}
	was, err := readFile(n.copy)
	if errors.Is(err, fs.ErrNotExist) { // it was lost: without the mark users are let in
		was, err = nil, nil
	}
	if err != nil {
		return err
	}
	if err := n.write(was); err != nil {
		return n.overwrite(was) // on a full disk a shorter text still fits into the file
	}
	return nil
}

// overwrite puts a text into the file itself. It follows no link.
func (n nginxFence) overwrite(text []byte) (err error) {
	dir, err := os.OpenRoot(filepath.Dir(n.Include))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	name := filepath.Base(n.Include)
	before, err := dir.Lstat(name)
	if err != nil {
		return err
	}
	f, err := dir.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err == nil && !os.SameFile(before, fi) {
		err = fmt.Errorf("%s is not a regular file", n.Include)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.Write(text)
	}
	return errors.Join(err, f.Sync())
}

// write replaces the file, which keeps its mode.
func (n nginxFence) write(text []byte) error {
	fi, err := os.Lstat(n.Include)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", n.Include)
	}
	if err := replaceFile(n.Include, text); err != nil {
		return fmt.Errorf("cannot write %s: %w", n.Include, err)
	}
	return os.Chmod(n.Include, fi.Mode().Perm())
}
