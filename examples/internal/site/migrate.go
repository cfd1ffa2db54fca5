package site

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// A migrateConfig describes how one database is restructured for a new version of
// its distribution (R11).
type migrateConfig struct {
	Database    string   `toml:"database"`    // the name of a [[postgres]] or [[mssql]], or its pattern, or the name of the file of a [[sqlite]] or [[command]]
	Command     []string `toml:"command"`     // restructures it, {database} is its name; without one the application does it by itself
	GoesOn      bool     `toml:"goes_on"`     // command only starts the restructuring
	Structure   []string `toml:"structure"`   // prints the version that the structure is of
	SQL         string   `toml:"sql"`         // instead of it, for a [[postgres]] or [[mssql]]: returns that version
	Role        string   `toml:"role"`        // with whose rights sql runs; "" means those of the database's owner, for a [[postgres]]
	Environment []string `toml:"environment"` // names of variables of this process that both commands get
}

// A database is one that can be restructured.
type database struct {
	name, data string // data is the name of its dataset
	secret
}

// kind returns the word before the name of the dataset.
func (d database) kind() string {
	kind, _, _ := strings.Cut(d.data, " ")
	return kind
}

// databases returns those of a name: several for the pattern of a [[postgres]] or [[mssql]], none
// if nothing has it.
func (c *Config) databases(name string) (list []database) {
	for _, p := range c.Postgres {
		if name == cmp.Or(p.Databases, p.Name) {
			list = append(list, database{p.Name, p.names().data(), p.secret})
		}
	}
	if list != nil {
		return list
	}
	for _, p := range c.MSSQL {
		if name == cmp.Or(p.Databases, p.Name) {
			list = append(list, database{p.Name, p.names().data(), p.secret})
		}
	}
	for _, p := range c.SQLite {
		if filepath.Base(p.Path) == name && list == nil {
			list = append(list, database{name: name, data: "sqlite " + name})
		}
	}
	for _, p := range c.Commands {
		if filepath.Base(p.Live) == name && list == nil {
			list = append(list, database{name: name, data: "command " + name})
		}
	}
	return list
}

// checkMigrations checks how the databases of all distributions are restructured.
func (c *Config) checkMigrations() (m mistakes) {
	seen := map[string]bool{}
	for _, d := range c.Distributions {
		for _, one := range d.Migrate {
			of := func(err error) {
				m.add(fmt.Errorf("distribution %s: migrate %q: %w", d.Name, one.Database, err))
			}
			var kind string
			list := c.databases(one.Database)
			if len(list) > 0 {
				kind = list[0].kind()
			}
			switch {
			case len(list) == 0:
				of(errors.New("database names no [[postgres]], [[mssql]], [[sqlite]] or [[command]]: what is restructured must come back in a rollback"))
			case seen[one.Database]:
				of(errors.New("this database is given twice"))
			case (len(one.Structure) > 0) == (one.SQL != ""):
				of(errors.New("give either structure or sql, which report the version that the structure is of"))
			case one.SQL != "" && kind != "postgres" && kind != "mssql":
				of(errors.New("sql is for a [[postgres]] or [[mssql]]: give a command in structure"))
			case one.Role != "" && one.SQL == "":
				of(errors.New("role needs sql"))
			case one.SQL != "" && kind == "mssql" && one.Role == "":
				of(errNoRole)
			case one.GoesOn && len(one.Command) == 0:
				of(errors.New("goes_on needs command"))
			}
			seen[one.Database] = true
		}
	}
	m = append(m, c.checkParallel()...)
	m.when(c.Parallel < 0, "parallel = %d: give how many databases and directories are worked on at a time", c.Parallel)
	return m
}

// checkParallel refuses data within a directory that is worked on at the same time.
func (c *Config) checkParallel() (m mistakes) {
	if c.Parallel < 2 {
		return nil
	}
	type data struct{ block, path string }
	var all []data
	for _, d := range c.Directories {
		all = append(all, data{"directory", d.Path})
	}
	for _, d := range c.SQLite {
		all = append(all, data{"sqlite", d.Path})
	}
	for _, d := range c.Commands {
		if len(d.List) == 0 { // else it is a name
			all = append(all, data{"command", d.Live})
		}
	}
	for i, outer := range all[:len(c.Directories)] {
		for j, inner := range all {
			rel, err := filepath.Rel(outer.path, inner.path)
			m.when(i != j && err == nil && filepath.IsLocal(rel), "parallel = %d: [[%s]] %s is in [[directory]] %s, and they would be worked on at the same time: omit parallel, or leave one of them out", c.Parallel, inner.block, inner.path, outer.path)
		}
	}
	return m
}

// placeholder stands for the name of the database in commands that restructure.
const placeholder = "{database}"

// of returns arguments with the name of a database.
func (d database) of(argv []string) (list []string) {
	for _, a := range argv {
		list = append(list, strings.ReplaceAll(a, placeholder, d.name))
	}
	return list
}

// migrations returns those of a distribution whose databases take part in the
// update: in a first installation its FullSetup makes them.
func (s *Site) migrations(d distributionConfig, data []rollback.Dataset) (list []rollback.Migration) {
	for _, one := range d.Migrate {
		for _, db := range s.Config.databases(one.Database) {
			if !slices.ContainsFunc(data, func(d rollback.Dataset) bool { return d.Name == db.data }) {
				continue
			}
			probe := probeConfig{
				Command: db.of(one.Structure), Environment: one.Environment,
				SQL: one.SQL, Role: one.Role, sources: []source{{names{kind: db.kind(), name: db.name}, db.secret}},
			}
			list = append(list, rollback.Migration{Name: db.data, Migrator: roles.Migrator{
				Command: roles.Command{Argv: db.of(one.Command), Environment: one.Environment, State: s.records(), Output: s.restructuring(db)},
				GoesOn:  one.GoesOn, Structure: probe.probe(),
			}})
		}
	}
	return list
}

// restructuring returns the function that shows what a command prints that restructures a
// database, without the database's password: a screen may be photographed.
func (s *Site) restructuring(db database) func(text string) {
	show := s.Observe.Output
	if show == nil {
		return nil
	}
	return func(text string) {
		if password := db.value(); password != "" {
			text = strings.ReplaceAll(text, password, "***")
		}
		show(db.data, text)
	}
}
