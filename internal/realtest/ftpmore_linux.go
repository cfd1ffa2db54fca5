package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// inetutils serves its anonymous user from the home of the account ftp, so each
// session sees another directory there. It is started for each connection, as
// inetd does.
func (s site) inetutils() *exec.Cmd {
	program := s.program("ftpd")
	if s.reader.Username != "ftp" || !exists(s.reader.HomeDir) {
		Skip(s.t, "inetutils-ftpd needs an account ftp with a home")
	}
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		Skip(s.t, "inetutils-ftpd needs a mount namespace: %v", err)
	}
	session := fmt.Sprintf("mount --bind '%s' '%s' && exec '%s' -A -a default -4", s.root, s.reader.HomeDir, program)
	return exec.Command(s.python(), s.write("inetd.py", `import socket, subprocess, sys
port, session = int(sys.argv[1]), sys.argv[2]
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("127.0.0.1", port))
l.listen(16)
running = []
while True:
    c, _ = l.accept()
    running = [p for p in running if p.poll() is None]
    running.append(subprocess.Popen(["unshare", "-m", "sh", "-c", session], stdin=c.fileno(), stdout=c.fileno()))
    c.close()
`), strconv.Itoa(s.port), session)
}

// python returns the interpreter that Debian's packages are for.
func (s site) python() string {
	s.t.Helper()
	return Program(s.t, "python3", "/usr/bin")
}

func (s site) pyftpdlib() *exec.Cmd {
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import pyftpdlib").Run(); err != nil {
		Skip(s.t, "pyftpdlib is missing: Debian has it in python3-pyftpdlib")
	}
	if s.options.TLS == Implicit {
		s.t.Fatal("pyftpdlib has no implicit TLS")
	}
	certificate := ""
	if s.options.TLS == Explicit {
		certificate = filepath.Join(s.dir, "both.pem")
		if err := exec.Command(python, "-c", "import OpenSSL").Run(); err != nil {
			Skip(s.t, "pyftpdlib's TLS is missing: Debian has it in python3-openssl")
		}
	}
	return exec.Command(python, s.write("server.py", `import os, sys, warnings
warnings.simplefilter("ignore")
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
port, root, user, password, uid, gid, certificate, local = sys.argv[1:]
authorizer = DummyAuthorizer()
if certificate:
    from pyftpdlib.handlers import TLS_FTPHandler as FTPHandler
    FTPHandler.certfile = certificate
    FTPHandler.tls_control_required = FTPHandler.tls_data_required = True
    FTPHandler.get_ssl_context()
FTPHandler.authorizer = authorizer
FTPHandler.banner = "ready"
FTPHandler.use_gmt_times = local != "true"
server = FTPServer(("127.0.0.1", int(port)), FTPHandler)
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
authorizer.add_user(user, password, root, perm="elr")
server.serve_forever()
`), strconv.Itoa(s.port), s.root, ftpUser, ftpPassword, s.reader.Uid, s.reader.Gid, certificate, strconv.FormatBool(s.options.East != 0))
}

// ftpSrv is a server of npm's, beside the unpacked servers. It loads its commands
// when they are first needed, and so keeps its account.
func (s site) ftpSrv() *exec.Cmd {
	node := Program(s.t, "node", "/usr/bin")
	modules := filepath.Join(filepath.Dir(os.Getenv("ASPUPDATE_FTP_SERVERS")), "npm", "node_modules")
	if os.Getenv("ASPUPDATE_FTP_SERVERS") == "" || !exists(filepath.Join(modules, "ftp-srv")) {
		SkipAbsent(s.t, "ftp-srv", "ftp-srv is missing: npm install it into the directory npm beside ASPUPDATE_FTP_SERVERS")
	}
	if s.options.TLS == Implicit {
		s.t.Fatal("ftp-srv is not started with implicit TLS here")
	}
	data, err := freeData() // it does not see that another server took a port meanwhile
	if err != nil {
		s.t.Fatal(err)
	}
	certificates := ""
	if s.options.TLS == Explicit {
		certificates = s.dir
	}
	cmd := exec.Command(node, s.write("server.js", `const { FtpSrv } = require('ftp-srv');
const [port, data, root, user, password, dir] = process.argv.slice(2);
const read = (name) => require('fs').readFileSync(dir + '/' + name);
// It would at times read the beginning of TLS as a command: what comes while it replies
// to AUTH is given to TLS.
const auth = require('ftp-srv/src/commands/registration/auth');
const handler = auth.handler;
auth.handler = function (given) {
  const raw = this.commandSocket, readers = raw.listeners('data'), early = [];
  raw.removeAllListeners('data');
  raw.on('data', (chunk) => early.push(chunk));
  return handler.call(this, given).then(() => {
    raw.removeAllListeners('data');
    readers.forEach((reader) => raw.on('data', reader));
    early.forEach((chunk) => this.secure ? this.commandSocket._handle.receive(chunk) : raw.emit('data', chunk));
  });
};
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, fatal() {}, child() { return quiet; } };
const server = new FtpSrv({ url: 'ftp://127.0.0.1:' + port, pasv_url: '127.0.0.1', pasv_min: +data, pasv_max: +data + `+strconv.Itoa(dataPorts-1)+`, log: quiet, tls: dir ? { key: read('key.pem'), cert: read('cert.pem') } : false });
server.on('login', (given, resolve, reject) => {
  if (given.username === user && given.password === password) resolve({ root, blacklist: ['STOR', 'DELE', 'MKD', 'RMD', 'RNFR', 'APPE', 'SITE'] });
  else reject(new Error('no'));
});
server.listen();
`), strconv.Itoa(s.port), strconv.Itoa(data), s.root, ftpUser, ftpPassword, certificates)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return cmd
}
