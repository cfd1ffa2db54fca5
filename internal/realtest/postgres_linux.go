package realtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// StartPostgres starts a server for several tests, as TestMain needs it. Its files are in
// memory if there is enough, and are not synced, unless the settings ("fsync=on") say so. The
// caller ends it by Stop; if the test's process dies first, the kernel ends it.
func StartPostgres(settings ...string) (*Cluster, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	return StartPostgresOf(bin, settings...)
}

// StartPostgresOf is StartPostgres with the server of that directory.
func StartPostgresOf(bin string, settings ...string) (*Cluster, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	parent := ""
	if !slices.Contains(settings, "fsync=on") {
		parent = memory()
	}
	dir, err := os.MkdirTemp(parent, "aspupdate-postgres-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Password: rand.Text(), Bin: bin, Data: filepath.Join(dir, "data")}
	if err := c.start(dir, as, settings); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(dir string, as *syscall.Credential, settings []string) error {
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(c.Password+"\n"), 0o600); err != nil {
		return err
	}
	if as != nil {
		for _, p := range []string{dir, secret} {
			if err := os.Chown(p, int(as.Uid), int(as.Gid)); err != nil {
				return err
			}
		}
	}
	// The method "md5" spares the tests the client's half of SCRAM, which
	// under the race detector takes longer than most of what they test.
	prepare := exec.Command(filepath.Join(c.Bin, "initdb"), "--pgdata="+c.Data, "--username=postgres", "--pwfile="+secret,
		"--auth=md5", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	prepare.Dir = dir
	prepare.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if out, err := prepare.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	// A program that is no test may bind the port first: try again.
	var err error
	for range 3 {
		if err = c.launch(dir, as, settings); err == nil {
			return nil
		}
	}
	return err
}

func (c *Cluster) launch(dir string, as *syscall.Credential, settings []string) error {
	var err error
	if c.Port, err = freePort(); err != nil {
		return err
	}
	logPath := filepath.Join(dir, "log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	server := exec.Command(filepath.Join(c.Bin, "postgres"), "-D", c.Data, "-p", strconv.Itoa(c.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "max_prepared_transactions=5", "-c", "shared_buffers=32MB", "-c", "max_connections=50")
	for _, setting := range settings { // the last one counts
		server.Args = append(server.Args, "-c", setting)
	}
	server.Dir = dir
	server.Stdout, server.Stderr = log, log
	server.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT}
	ended := make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		// Pdeathsig is about the thread that started the process, so that
		// thread waits here for its end.
		runtime.LockOSThread()
		err := server.Start()
		started <- err
		if err == nil {
			ended <- server.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	stop := func() {
		// SIGINT ends sessions and then the server, SIGQUIT does not wait for them.
		for _, s := range []os.Signal{os.Interrupt, syscall.SIGQUIT, os.Kill} {
			_ = server.Process.Signal(s)
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Second):
			}
		}
	}
	if err := c.await(ended); err != nil {
		stop()
		said, _ := os.ReadFile(logPath)
		return fmt.Errorf("postgres: %w: %s", err, said)
	}
	c.stop = func() {
		stop()
		_ = os.RemoveAll(dir)
	}
	return nil
}

func (c *Cluster) await(ended chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.Admin("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// postgresBin returns the directory of the newest server.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is good
	major := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("initdb is not installed")
	}
	return filepath.Dir(path), nil
}

// unprivileged returns the user for the server, which refuses to run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // as ourselves
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uerr, gerr)
}
