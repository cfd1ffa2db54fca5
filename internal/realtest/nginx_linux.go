package realtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// temporary are nginx's directories, in its own.
const temporary = `  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
`

// nginx is started by the account that it then remains: that one cannot read where the
// unpacked program is.
func (s site) nginx() *exec.Cmd {
	program := s.program("nginx")
	s.write("passwd", ftpUser+":{PLAIN}"+ftpPassword+"\n")
	conf := s.write("nginx.conf", fmt.Sprintf(`daemon off;
worker_processes 1;
pid pid;
events { worker_connections 64; }
http {
  access_log off;
%s  default_type application/octet-stream;
  charset utf-8;
  sendfile on;
  gzip on;
  gzip_types *;
  server {
    listen 127.0.0.1:%d ssl http2 sndbuf=64k;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    auth_basic releases;
    auth_basic_user_file passwd;
    root "%s";
    autoindex on;
  }
}
`, temporary, s.port, s.root))
	cmd := exec.Command(program, "-p", s.dir, "-e", "error.log", "-c", conf)
	if os.Geteuid() != 0 {
		return cmd
	}
	cmd.Path = filepath.Join(s.dir, "nginx")
	uid, _ := strconv.Atoi(s.reader.Uid) // numbers, on Linux
	gid, _ := strconv.Atoi(s.reader.Gid)
	b, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(cmd.Path, b, 0o700)
	}
	files, _ := filepath.Glob(filepath.Join(s.dir, "*")) // the pattern is good
	for _, name := range append(files, s.dir) {
		if err == nil {
			err = os.Chown(name, uid, gid)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd
}

// startNginx keeps what nginx writes apart from what is read: the account that it runs as owns
// only the former.
func startNginx(t testing.TB, server string) (addr string, command []string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	program := site{t: t}.program("nginx")
	dir := SharedDir(t)
	own, conf, account := filepath.Join(dir, "own"), filepath.Join(dir, "nginx.conf"), reader(t)
	check(os.Mkdir(own, 0o700))
	cmd := exec.Command(program, "-p", own, "-e", "error.log", "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	group, err := user.LookupGroupId(account.Gid)
	check(err)
	if os.Geteuid() == 0 {
		uid, _ := strconv.Atoi(account.Uid) // numbers, on Linux
		gid, _ := strconv.Atoi(account.Gid)
		check(os.Chown(own, uid, gid))
		b, err := os.ReadFile(program) // see nginx
		check(err)
		cmd.Path = filepath.Join(dir, "nginx")
		cmd.Args[0] = cmd.Path
		check(os.WriteFile(cmd.Path, b, 0o755))
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	for range 3 { // a program that is no test may bind the port first
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
		// The user is for who calls it as root: what that makes is the account's.
		text := fmt.Sprintf("user %s %s;\nworker_processes 1;\npid pid;\nevents { worker_connections 64; }\nhttp {\n  access_log off;\n%s  server {\n    listen %s;\n%s\n  }\n}\n",
			account.Username, group.Name, temporary, addr, server)
		check(os.WriteFile(conf, []byte(text), 0o644))
		master := *cmd
		master.Args = append(master.Args[:len(master.Args):len(master.Args)], "-g", "daemon off;")
		if err = run(t, &master, addr, filepath.Join(own, "error.log")); err == nil {
			return addr, cmd.Args
		}
	}
	t.Fatal(err)
	return "", nil
}

// run starts nginx, returns once it listens, and ends it with the test.
func run(t testing.TB, cmd *exec.Cmd, addr, log string) error {
	t.Helper()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	end := func() { killFamily(cmd.Process.Pid); <-exited }
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			t.Cleanup(end)
			return c.Close()
		}
		ended := false
		select {
		case <-exited:
			ended = true
		default:
		}
		if ended || time.Now().After(deadline) {
			end()
			said, _ := os.ReadFile(log)
			return fmt.Errorf("nginx does not answer: %w: %s", err, said)
		}
	}
}
