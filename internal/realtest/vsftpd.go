package realtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Server is an FTP server that a test may use until it ends.
type Server struct {
	Addr     string // host:port on loopback
	User     string
	Password string // any other is refused with 530
}

// VSFTPD serves root, read only, by a real vsftpd on a free loopback port.
// The process ends with the test; its sessions end with their connections.
//
// vsftpd checks local users by PAM, whose files belong to the machine. Its
// anonymous user can have a list of passwords as well, which needs nothing
// but a file of ours: that is the user and the password here. It reads root
// with the rights of the user ftp or nobody, so that the files must be
// readable for everybody (root's own parents need not be); VSFTPD sees to
// root itself.
func VSFTPD(t testing.TB, root string) Server {
	t.Helper()
	program := Program(t, "vsftpd", "/usr/sbin", "/usr/local/sbin")
	if os.Geteuid() != 0 {
		Skip(t, "vsftpd locks its users into a folder, which takes root")
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	port := FreePort(t)
	s := Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), User: "anonymous", Password: "correct-horse-battery"}

	dir := t.TempDir()
	empty := filepath.Join(dir, "empty") // vsftpd's unprivileged half lives here
	if err := os.Mkdir(empty, 0o555); err != nil {
		t.Fatal(err)
	}
	passwords := writeFile(t, filepath.Join(dir, "passwords"), s.Password+"\n")
	config := writeFile(t, filepath.Join(dir, "vsftpd.conf"), strings.Join([]string{
		"background=NO",
		"listen=YES",
		"listen_address=127.0.0.1",
		fmt.Sprintf("listen_port=%d", port),
		"pasv_address=127.0.0.1",
		"port_enable=NO",
		"anonymous_enable=YES",
		"local_enable=NO",
		"write_enable=NO",
		"anon_root=" + root,
		"anon_world_readable_only=NO",
		"ftp_username=" + reader(t),
		"secure_chroot_dir=" + empty,
		"secure_email_list_enable=YES",
		"email_password_file=" + passwords,
		"utf8_filesystem=YES",
		"xferlog_enable=NO",
		"delay_failed_login=0",
		"idle_session_timeout=60",
		"data_connection_timeout=60",
		// Containers forbid what these do.
		"seccomp_sandbox=NO",
		"isolate=NO",
		"isolate_network=NO",
		"",
	}, "\n"))

	var out strings.Builder
	cmd := exec.Command(program, config)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-exited })
	awaitGreeting(t, s.Addr, exited, &out)
	return s
}

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// reader is a user without rights: vsftpd refuses a root folder that its
// user can write to.
func reader(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"ftp", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return name
		}
	}
	Skip(t, "vsftpd needs a user ftp or nobody")
	return ""
}

// awaitGreeting returns once the server answers, or fails the test.
func awaitGreeting(t testing.TB, addr string, exited <-chan struct{}, out *strings.Builder) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-exited:
			t.Fatalf("vsftpd ended at once: %s", out)
		default:
		}
		if greets(addr) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("vsftpd does not answer")
}

func greets(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	buf := make([]byte, 3)
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	n, err := c.Read(buf)
	return err == nil && string(buf[:n]) == "220"
}
