package site

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// A migrateConfig describes how one database is restructured for a new version of
// its distribution (R11).
type migrateConfig struct {
	Database    string   `toml:"database"`    // the name of a [[postgres]] or [[mssql]], or of the file of a [[sqlite]] or [[command]]
	Command     []string `toml:"command"`     // restructures it; without one the application does it by itself
	GoesOn      bool     `toml:"goes_on"`     // command only starts the restructuring
	Structure   []string `toml:"structure"`   // prints the version that the structure is of
	SQL         string   `toml:"sql"`         // instead of it, for a [[postgres]]: returns that version
	Environment []string `toml:"environment"` // names of variables of this process that both commands get
}

// dataset returns the name of the database's dataset, "" if there is none.
func (c *Config) dataset(database string) string {
	for _, p := range c.Postgres {
		if p.Name == database {
			return "postgres " + database
		}
	}
	for _, p := range c.MSSQL {
		if p.Name == database {
			return p.data()
		}
	}
	for _, p := range c.SQLite {
		if filepath.Base(p.Path) == database {
			return "sqlite " + database
		}
	}
	for _, p := range c.Commands {
		if filepath.Base(p.Live) == database {
			return "command " + database
		}
	}
	return ""
}

// checkMigrations checks how the databases of all distributions are restructured.
func (c *Config) checkMigrations() (m mistakes) {
	seen := map[string]bool{}
	for _, d := range c.Distributions {
		for _, one := range d.Migrate {
			of := func(err error) {
				m.add(fmt.Errorf("distribution %s: migrate %q: %w", d.Name, one.Database, err))
			}
			inPostgres := slices.ContainsFunc(c.Postgres, func(p postgresConfig) bool { return p.Name == one.Database })
			switch {
			case c.dataset(one.Database) == "":
				of(errors.New("database names no [[postgres]], [[mssql]], [[sqlite]] or [[command]]: what is restructured must come back in a rollback"))
			case seen[one.Database]:
				of(errors.New("this database is given twice"))
			case (len(one.Structure) > 0) == (one.SQL != ""):
				of(errors.New("give either structure or sql, which report the version that the structure is of"))
			case one.SQL != "" && !inPostgres:
				of(errors.New("sql is for a [[postgres]]: give a command in structure"))
			case one.GoesOn && len(one.Command) == 0:
				of(errors.New("goes_on needs command"))
			}
			seen[one.Database] = true
		}
	}
	m.when(c.Parallel < 0, "parallel = %d: give how many databases are restructured at a time", c.Parallel)
	return m
}

// migrations returns those of a distribution whose databases take part in the
// update: in a first installation its FullSetup makes them.
func (s *Site) migrations(d distributionConfig, data []rollback.Dataset) (list []rollback.Migration) {
	for _, one := range d.Migrate {
		name := s.Config.dataset(one.Database)
		if !slices.ContainsFunc(data, func(d rollback.Dataset) bool { return d.Name == name }) {
			continue
		}
		probe := probeConfig{Command: one.Structure, SQL: one.SQL, Environment: one.Environment}
		for _, p := range s.Config.Postgres {
			if one.SQL != "" && p.Name == one.Database {
				probe.secret = p.secret
			}
		}
		list = append(list, rollback.Migration{Name: name, Migrator: roles.Migrator{
			Command: roles.Command{Argv: one.Command, Environment: one.Environment, State: s.records()},
			GoesOn:  one.GoesOn, Structure: probe.probe(),
		}})
	}
	return list
}
