package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

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
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  default_type application/octet-stream;
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
`, s.port, s.root))
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
