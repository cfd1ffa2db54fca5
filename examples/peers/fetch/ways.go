//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// peers are the programs that the ways below run. Their Debian packages have the
// same names.
var peers = []string{"curl", "openssl", "wget", "lftp", "rclone"}

// The ways that have limits.
const (
	archive  = "aspupdate: archive, SHA-256"
	raw      = "aspupdate: no hash"
	list     = "aspupdate: list"
	curl     = "curl"
	curlHash = "curl && openssl dgst -sha256"
	curlList = "curl, LIST only"
)

// download is the contest of downloading one file with a known hash.
func (b bench) download(size int64, sum string) contest {
	url := "ftp://" + b.plain.addr + installer(size)
	get := "curl -q -sS -o {to}/out " + url
	c := contest{title: "FTP, " + bytesText(size), bytes: size, check: same(sum)}
	c.ways = append(b.ours(b.plain, size, sum),
		way{curl, strings.Fields(get)},
		shell(curlHash, get+" && openssl dgst -sha256 {to}/out"),
		way{"wget", strings.Fields("wget -q --no-config --no-proxy -O {to}/out " + url)},
		way{"lftp get", []string{"lftp", "-c", "set ftp:ssl-allow no; get " + url + " -o {to}/out"}},
		way{"lftp pget -n 4", []string{"lftp", "-c", "set ftp:ssl-allow no; pget -n 4 " + url + " -o {to}/out"}},
		way{"rclone copyto, one stream", b.rclone(b.plain, "copyto", "--multi-thread-streams", "0", ":ftp:"+installer(size), "{to}/out")},
	)
	return c
}

// secureDownload is the same with explicit TLS. wget supports implicit TLS only.
// rclone runs without TLS 1.3, with which its session reuse fails with "illegal
// parameter".
func (b bench) secureDownload(size int64, sum string) contest {
	url := "ftp://" + b.secure.addr + installer(size)
	get := "curl -q -sS --ssl-reqd -k -o {to}/out " + url
	c := contest{title: "FTPS, " + bytesText(size), bytes: size, check: same(sum)}
	c.ways = append(b.ours(b.secure, size, sum),
		way{curl, strings.Fields(get)},
		shell(curlHash, get+" && openssl dgst -sha256 {to}/out"),
		way{"lftp get", []string{"lftp", "-c", "set ftp:ssl-force yes; set ftp:ssl-allow-anonymous yes; set ftp:ssl-protect-data yes; set ssl:verify-certificate no; get " + url + " -o {to}/out"}},
		way{"rclone copyto, one stream", b.rclone(b.secure, "copyto", "--multi-thread-streams", "0", ":ftp:"+installer(size), "{to}/out",
			"--ftp-explicit-tls", "--ftp-no-check-certificate", "--ftp-disable-tls13")},
	)
	return c
}

// bounds are lower bounds: each does only a part of a download. Compared with
// curl's time they show which promises can be kept on this machine.
func (b bench) bounds(size int64) contest {
	here := filepath.Join(b.root(), installer(size))
	return contest{title: "parts of it, " + bytesText(size), bytes: size, check: func(string, string) error { return nil }, ways: []way{
		{"curl -o /dev/null", strings.Fields("curl -q -sS -o /dev/null ftp://" + b.plain.addr + installer(size))},
		{"aspupdate: no hash, to /dev/null", []string{b.fetcher, "raw", "-addr", b.plain.addr, "-from", installer(size), "-to", os.DevNull}},
		{"cp, no network", []string{"cp", here, "{to}/out"}},
		{"openssl dgst -sha256, no network", []string{"openssl", "dgst", "-sha256", here}},
	}}
}

// memory is the contest of downloading a file with little memory.
func (b bench) memory(size int64, sum string) contest {
	return contest{title: "memory, " + bytesText(size), bytes: size, check: same(sum), ways: b.ours(b.plain, size, sum)}
}

func (b bench) ours(s *server, size int64, sum string) []way {
	root := fmt.Sprintf("/%d", size)
	ways := []way{
		{archive, []string{b.fetcher, "archive", "-addr", s.addr, "-root", root, "-sha256", sum, "-to", "{to}"}},
		{raw, []string{b.fetcher, "raw", "-addr", s.addr, "-from", installer(size), "-to", "{to}/out"}},
	}
	if s == b.secure {
		for i := range ways {
			ways[i].argv = append(ways[i].argv, "-tls")
		}
	}
	return ways
}

// rclone needs a password in its own format, even if the server needs none. Its
// default is four streams: version 1.60 then leaves a file of 1 GiB with parts
// missing, and reports success at its second attempt.
func (b bench) rclone(s *server, argv ...string) []string {
	host, port, _ := strings.Cut(s.addr, ":")
	return append([]string{"rclone", "--ftp-host", host, "--ftp-port", port, "--ftp-user", "anonymous", "--ftp-pass", b.obscured}, argv...)
}

// listing is the contest of finding the newest of many files by a full listing.
func (b bench) listing(n int, newest string) contest {
	dir := "/" + crowd + "/" + distribution
	url := "ftp://" + b.plain.addr + dir + "/"
	c := contest{title: fmt.Sprintf("list %d, find the newest", n), check: prints(newest)}
	c.ways = []way{
		{list, []string{b.fetcher, "list", "-addr", b.plain.addr, "-root", "/" + crowd}},
		{curlList, []string{"curl", "-q", "-sS", url}},
		{"lftp cls -1 --sort=name", []string{"lftp", "-c", "set ftp:ssl-allow no; open ftp://" + b.plain.addr + "; cls -1 --sort=name " + dir + "/"}},
		{"rclone lsf", b.rclone(b.plain, "lsf", ":ftp:"+dir)},
	}
	return c
}

// prints returns a check that a program printed the newest version.
func prints(newest string) func(dir, out string) error {
	return func(_, out string) error {
		if !strings.Contains(out, newest) {
			return fmt.Errorf("%s not found in %d bytes of output", newest, len(out))
		}
		return nil
	}
}
