package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/page"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/schedule"
)

// The flags of what people read in a language of theirs.
func language() cli.Flag {
	return &cli.StringFlag{Name: "lang", Usage: "the language: en or ru", Validator: func(name string) error {
		if name != "en" && name != "ru" {
			return errors.New("only en and ru are known")
		}
		return nil
	}}
}

func zone() cli.Flag {
	return &cli.StringFlag{Name: "zone", Value: "MSK", Usage: "the center's `ZONE`, from MSK-1 to MSK+9", Validator: func(name string) error {
		_, err := schedule.ParseZone(name)
		return err
	}}
}

// serve serves the page until ctx is done. It runs beside the coordinator, and so also
// shows that this does not answer.
func serve(ctx context.Context, c *cli.Command) error {
	dir := c.String("dir")
	login, err := center.Login(dir, c.String("url"))
	if err != nil {
		return err
	}
	client, err := center.Dial(login)
	if err != nil {
		return err
	}
	defer client.Close()
	place, err := schedule.ParseZone(c.String("zone"))
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "page.url")
	// Another account may have listened here since an earlier page, and be given its key by a
	// browser that asks again: each page has a key of its own.
	p := &page.Page{Ask: client.Ask, Key: page.NewKey(), Lang: c.String("lang"), Zone: place}
	if err := client.Changed(p.Wake); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.String("listen"))
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	address := p.Address(l.Addr())
	if err := durable.WriteFile(file, []byte(address+"\n"), 0o600); err != nil {
		return err
	}
	w := c.Root().Writer
	printf(w, "the page is at http://%s; its address has a key and is in %s\n", l.Addr(), file)
	if out, ok := w.(*os.File); ok && term.IsTerminal(int(out.Fd())) { // a log must not have the key
		printf(w, "%s\n", address)
	}
	return p.Serve(ctx, l)
}

// report writes the report of a rollout to files.
func report(ctx context.Context, c *cli.Command) error {
	html, csv := c.String("html"), c.String("csv")
	if html == "" && csv == "" {
		return errors.New("name a file: --html FILE, --csv FILE, or both")
	}
	place, err := schedule.ParseZone(c.String("zone"))
	if err != nil {
		return err
	}
	rollouts, err := ask(ctx, c, center.Command{Op: "status", Rollout: c.String("id")})
	if err != nil {
		return err
	}
	sites, err := ask(ctx, c, center.Command{Op: "sites"})
	if err != nil {
		return err
	}
	if len(rollouts.Rollouts) != 1 {
		return fmt.Errorf("rollout %q not found", c.String("id"))
	}
	r := page.Report{Rollout: rollouts.Rollouts[0], Sites: sites.Sites, At: time.Now(), Zone: place, Lang: c.String("lang")}
	for file, write := range map[string]func(io.Writer) error{html: r.HTML, csv: r.CSV} {
		if file == "" {
			continue
		}
		var b strings.Builder
		if err := write(&b); err != nil {
			return err
		}
		if err := durable.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}
