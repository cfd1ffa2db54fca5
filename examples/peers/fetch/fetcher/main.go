// Command fetcher is this library's side of the comparison, as its own process,
// so that time, processor time and memory are counted the same way for all.
//
//	fetcher archive -addr 127.0.0.1:2121 -to DIR -sha256 HASH  # the newest release into an archive, hashed
//	fetcher raw     -addr 127.0.0.1:2121 -to FILE -from PATH   # one file, no hash, no archive
//	fetcher list    -addr 127.0.0.1:2121                       # the newest release, from the full listing
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/version"
)

// distribution is the directory on the comparison's server.
const distribution = "asp"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "fetcher:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("missing command: archive, raw or list")
	}
	flags := flag.NewFlagSet("fetcher "+args[0], flag.ContinueOnError)
	addr := flags.String("addr", "", "the server's `host:port`")
	to := flags.String("to", "", "`directory` of the archive, or file to write")
	root := flags.String("root", "/", "`directory` of the distributions on the server")
	from := flags.String("from", "", "`path` on the server, for raw")
	sum := flags.String("sha256", "", "`hash` that the installer must have, for archive")
	secure := flags.Bool("tls", false, "use explicit TLS, with any certificate")
	profile := flags.String("cpuprofile", "", "write a CPU profile to `file`")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	src := &ftp.Source{Addr: *addr}
	if *secure {
		src.TLS = ftp.TLSExplicit
		// As curl -k: each comparison creates its own certificate.
		if src.TLSConfig, err = ftp.TrustAnyCertificate("on loopback"); err != nil {
			return err
		}
	}
	switch args[0] {
	case "archive":
		return fetchNewest(ctx, src, *root, *to, *sum)
	case "raw":
		return raw(ctx, src, *from, *to)
	case "list":
		return list(ctx, src, *root)
	}
	return fmt.Errorf("unknown command %q: use archive, raw or list", args[0])
}

func newest(root string) fetch.Finder { return fetch.Finder{Layout: fetch.Layout{Root: root}} }

// fetchNewest is what an updater does: find the newest, download, hash, publish.
func fetchNewest(ctx context.Context, src *ftp.Source, root, dir, sum string) error {
	rel, err := newest(root).Latest(ctx, src, distribution, version.Setup)
	if err != nil {
		return err
	}
	item, err := (&archive.Archive{Dir: dir}).Fetch(ctx, src, rel, version.Setup, archive.PinnedSHA256(sum))
	if err != nil {
		return err
	}
	fmt.Println(item.Path)
	return nil
}

// raw is what curl -o does.
func raw(ctx context.Context, src *ftp.Source, from, to string) (err error) {
	r, err := src.Open(ctx, from, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, r)
	return err // whether all came, Close knows
}

func list(ctx context.Context, src *ftp.Source, root string) error {
	rel, err := newest(root).Latest(ctx, src, distribution, version.Setup)
	if err != nil {
		return err
	}
	fmt.Println(rel.Version)
	return nil
}
