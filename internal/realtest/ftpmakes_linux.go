package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// clock returns the variables that give a server its clock and its zone. Children
// that it forks have both, whatever they see of the machine's files.
func (s site) clock() (env []string) {
	s.t.Helper()
	if east := s.options.East; east != 0 { // the sign is POSIX's, and no file of zones is needed
		env = append(env, fmt.Sprintf("TZ=HERE%+d", -int(east.Hours())))
	}
	if s.options.Ahead == 0 {
		return env
	}
	const library = "usr/lib/*/faketime/libfaketime.so.1"
	for _, dir := range []string{"/", os.Getenv("ASPUPDATE_FTP_SERVERS")} {
		if found, _ := filepath.Glob(filepath.Join(dir, library)); len(found) > 0 { // the pattern is good
			return append(env, "LD_PRELOAD="+found[0], fmt.Sprintf("FAKETIME=%+d", int(s.options.Ahead.Seconds())), "FAKETIME_DONT_FAKE_MONOTONIC=1")
		}
	}
	Skip(s.t, "libfaketime is not installed")
	return nil
}

// program returns the path of a server's program: an installed one, or one
// unpacked in ASPUPDATE_FTP_SERVERS.
func (s site) program(name string) string {
	s.t.Helper()
	dirs := []string{"/usr/sbin", "/usr/local/sbin"}
	if dir := os.Getenv("ASPUPDATE_FTP_SERVERS"); dir != "" {
		dirs = append(dirs, filepath.Join(dir, "usr", "sbin"), filepath.Join(dir, "usr", "bin"))
	}
	return Program(s.t, name, dirs...)
}

// vsftpd checks local users by PAM, which is the machine's. Its anonymous user
// can have a list of passwords in a file, and is the user here.
func (s site) vsftpd() *exec.Cmd {
	program := s.program("vsftpd")
	empty := filepath.Join(s.dir, "empty") // vsftpd's unprivileged half lives here
	if err := os.MkdirAll(empty, 0o555); err != nil {
		s.t.Fatal(err)
	}
	lines := []string{
		"background=NO",
		"listen=YES",
		"listen_address=127.0.0.1",
		fmt.Sprintf("listen_port=%d", s.port),
		"pasv_address=127.0.0.1",
		"port_enable=NO",
		"anonymous_enable=YES",
		"local_enable=NO",
		"write_enable=NO",
		"anon_root=" + s.root,
		"anon_world_readable_only=NO",
		"ftp_username=" + s.reader.Username,
		"secure_chroot_dir=" + empty,
		"secure_email_list_enable=YES",
		"email_password_file=" + s.write("passwords", ftpPassword+"\n"),
		"utf8_filesystem=YES",
		"xferlog_enable=NO",
		"delay_failed_login=0",
		"idle_session_timeout=60",
		"data_connection_timeout=60",
		// Containers forbid what these do.
		"seccomp_sandbox=NO",
		"isolate=NO",
		"isolate_network=NO",
		fmt.Sprintf("anon_max_rate=%d", s.options.Rate),
	}
	if s.options.East != 0 {
		lines = append(lines, "use_localtime=YES")
	}
	if s.options.TLS != Plain {
		lines = append(lines,
			"ssl_enable=YES",
			"allow_anon_ssl=YES",
			"force_anon_logins_ssl=YES",
			"force_anon_data_ssl=YES",
			"require_ssl_reuse=YES",
			"ssl_ciphers=HIGH",
			"rsa_cert_file="+filepath.Join(s.dir, "cert.pem"),
			"rsa_private_key_file="+filepath.Join(s.dir, "key.pem"))
	}
	if s.options.TLS == Implicit {
		lines = append(lines, "implicit_ssl=YES")
	}
	return exec.Command(program, s.write("vsftpd.conf", strings.Join(lines, "\n")+"\n"))
}

func (s site) proftpd() *exec.Cmd {
	program := s.program("proftpd")
	group, err := user.LookupGroupId(s.reader.Gid)
	if err != nil {
		s.t.Fatal(err)
	}
	passwd := fmt.Sprintf("%s:%s:%s:%s::%s:/bin/false\n", ftpUser, ftpHash, s.reader.Uid, s.reader.Gid, s.root)
	var lines []string
	// The modules of an unpacked program are beside it.
	if modules := filepath.Join(filepath.Dir(program), "..", "lib", "proftpd"); exists(modules) {
		lines = append(lines, "ModulePath "+modules)
	}
	lines = append(lines,
		"ServerType standalone",
		"DefaultAddress 127.0.0.1",
		"SocketBindTight on",
		fmt.Sprintf("Port %d", s.port),
		"User "+s.reader.Username,
		"Group "+group.Name,
		"AuthOrder mod_auth_file.c",
		"AuthUserFile "+s.write("passwd", passwd),
		"RequireValidShell off",
		"DefaultRoot ~",
		"<Limit WRITE>",
		"DenyAll",
		"</Limit>",
		"UseReverseDNS off",
		"PidFile "+filepath.Join(s.dir, "pid"),
		"DelayEngine off",
		"WtmpLog off",
		"TransferLog none")
	if s.options.East != 0 {
		lines = append(lines, "TimesGMT off")
	}
	if s.options.Denied != "" {
		lines = append(lines, "<Limit "+s.options.Denied+">", "DenyAll", "</Limit>")
	}
	if s.options.Rate > 0 {
		lines = append(lines, fmt.Sprintf("TransferRate RETR %d", s.options.Rate>>10))
	}
	scoreboard := "none"
	if s.options.Clients > 0 {
		scoreboard = filepath.Join(s.dir, "scoreboard") // it counts them there
		lines = append(lines, fmt.Sprintf("MaxClients %d", s.options.Clients))
	}
	lines = append(lines, "ScoreboardFile "+scoreboard)
	if s.options.Digest {
		lines = append(lines, "LoadModule mod_digest.c")
	}
	if s.options.TLS != Plain {
		lines = append(lines,
			"LoadModule mod_tls.c",
			"TLSEngine on",
			"TLSRequired on",
			"TLSProtocol TLSv1.2 TLSv1.3",
			"TLSECCertificateFile "+filepath.Join(s.dir, "cert.pem"),
			"TLSECCertificateKeyFile "+filepath.Join(s.dir, "key.pem"),
			"TLSLog none")
	}
	if s.options.TLS == Implicit {
		lines = append(lines, "TLSOptions UseImplicitSSL")
	}
	return exec.Command(program, "--nodaemon", "--config", s.write("proftpd.conf", strings.Join(lines, "\n")+"\n"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s site) pureFTPd() *exec.Cmd {
	program := s.program("pure-ftpd")
	if s.options.TLS == Implicit {
		s.t.Fatal("pure-ftpd has no implicit TLS")
	}
	// name:hash:uid:gid:comment:home, then quotas and limits: none.
	passwd := fmt.Sprintf("%s:%s:%s:%s::%s/./::::::::::::\n", ftpUser, ftpHash, s.reader.Uid, s.reader.Gid, s.root)
	users := filepath.Join(s.dir, "users.pdb")
	if out, err := exec.Command(s.program("pure-pw"), "mkdb", users, "-f", s.write("passwd", passwd)).CombinedOutput(); err != nil {
		s.t.Fatalf("pure-pw: %v: %s", err, out)
	}
	args := []string{
		"--bind", "127.0.0.1," + strconv.Itoa(s.port), "--ipv4only", "--dontresolve", "--noanonymous", "--chrooteveryone",
		"--login", "puredb:" + users, "--minuid", "1", "--pidfile", filepath.Join(s.dir, "pid"), "--syslogfacility", "none",
	}
	if s.options.Rate > 0 {
		args = append(args, "--userbandwidth", ":"+strconv.Itoa(s.options.Rate>>10))
	}
	if s.options.ListLimit > 0 {
		args = append(args, "--limitrecursion", fmt.Sprintf("%d:5", s.options.ListLimit))
	}
	if s.options.TLS == Explicit {
		args = append(args, "--tls", "3", "--certfile", filepath.Join(s.dir, "both.pem"))
	}
	return exec.Command(program, args...)
}
