package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/version"
)

// PasswordVariable is the environment variable with the password of the vendor's
// server.
const PasswordVariable = "ASPUPDATE_DEMO_PASSWORD" //nolint:gosec // a name

// A Stage is the vendor's server and several installations, for a program that
// updates many sites. The program has the commands of [Commands].
type Stage struct {
	root, program string
	server        *vendor
	sites         map[string]installation
}

// OpenStage starts the vendor's server below a directory, and sets
// [PasswordVariable] for this process and its children. The installers are
// copies of the program.
func OpenStage(root, program string) (*Stage, error) {
	server, err := openVendor(filepath.Join(root, "ftp"), program)
	if err != nil {
		return nil, err
	}
	return &Stage{root, program, server, map[string]installation{}}, os.Setenv(PasswordVariable, server.password)
}

// Close stops the server and the applications.
func (s *Stage) Close() error {
	s.server.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, i := range s.sites {
		errs = append(errs, i.stop(ctx))
	}
	return errors.Join(errs...)
}

// Install makes an installation at version 7.12.100, starts its application, and
// returns the path of its configuration.
func (s *Stage) Install(ctx context.Context, name string) (config string, err error) {
	root := filepath.Join(s.root, name)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", err
	}
	first := change{Version: "7.12.100", Statements: []string{"CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"}}
	setup, err := s.server.build(filepath.Join(root, "from-support"), first)
	if err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	i := installation(filepath.Join(root, "site"))
	if err := errors.Join(i.create(port, s.program), i.apply(ctx, first), i.start(ctx)); err != nil {
		return "", err
	}
	s.sites[name] = i
	if err := s.configure(); err != nil {
		return "", err
	}
	c, err := site.Load(s.config(name))
	if err != nil {
		return "", err
	}
	_, err = (&site.Site{Config: c}).Import(ctx, setup, distribution, version.MustParse(first.Version))
	return s.config(name), err
}

func (s *Stage) config(name string) string { return filepath.Join(s.root, name, "aspupdate.toml") }

// configure writes the configurations, with the hashes of all releases.
func (s *Stage) configure() error {
	for name, i := range s.sites {
		root := filepath.Join(s.root, name)
		text := s.server.configuration(s.program, root, filepath.Join(root, "state"), i)
		if err := durable.WriteFile(s.config(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Publish publishes a release and pins its hash at each site. A bad one destroys
// data, and its installer reports success.
func (s *Stage) Publish(v string, bad bool) (dist, sha256 string, err error) {
	c := change{Version: v, Statements: []string{fmt.Sprintf("CREATE TABLE release_%d AS SELECT id FROM entry", len(s.server.sums))}}
	if bad {
		c.Statements = []string{"ALTER TABLE entry DROP COLUMN text"}
	}
	if err := s.server.publish(c); err != nil {
		return "", "", err
	}
	return distribution, s.server.sums[v], s.configure()
}

// Version returns the version of a site whose software and data agree.
func (s *Stage) Version(ctx context.Context, name string) (v string, err error) {
	i := s.sites[name]
	db, err := i.open()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return i.healthy(ctx, db)
}
