package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/demo"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// site is a process with the site of a ticket, wherever the center is: an application
// with a database, the vendor's server with a release, and the agent. It ends once
// there is a file end in its directory, if the release is installed then.
func site(ctx context.Context, dir string) (err error) {
	s := &region{out: os.Stdout, root: filepath.Join(dir, "root"), names: []string{windowsSite}}
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if err := os.Mkdir(s.root, 0o700); err != nil {
		return err
	}
	if s.stage, err = demo.OpenStage(s.root, s.self); err != nil {
		return err
	}
	defer func() {
		if end := s.end(); err == nil {
			err = end
		}
	}()
	config, err := s.stage.Install(ctx, windowsSite)
	if err != nil {
		return err
	}
	member := filepath.Join(dir, "member", "member.json")
	if _, err := s.fleet(ctx, "join", "--ticket", filepath.Join(dir, "ticket.json"), "--out", member); err != nil {
		return err
	}
	_, sum, err := s.stage.Publish(windowsRelease, false)
	if err != nil {
		return err
	}
	agent := s.command(ctx, "agent", "--config", config, "--membership", member)
	agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
	if err := agent.Start(); err != nil {
		return err
	}
	s.all = append(s.all, agent)
	if err := durable.WriteFile(filepath.Join(dir, "published"), []byte(sum), 0o600); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "end")); err == nil {
			return s.verify(ctx, windowsRelease)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const (
	windowsDir     = `C:\fleet`
	windowsSite    = "Село на Windows"
	windowsRelease = "7.13.100"
)
