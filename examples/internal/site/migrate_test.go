package site

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a restructuring prints is shown without the password of its database.
func TestRestructuringIsShownWithoutThePassword(t *testing.T) {
	password, got := "correct horse", ""
	s := &Site{Observe: Observe{Output: func(data, text string) { got += data + "> " + text }}}
	s.restructuring(database{data: "database asp", secret: secret{&password}})("level 2: correct horse\n")
	require.Equal(t, "database asp> level 2: ***\n", got)
	require.Nil(t, (&Site{}).restructuring(database{}))
}

// What an installer prints is shown without what the configuration gives to it by name.
func TestInstallersOutputIsShownWithoutSecrets(t *testing.T) {
	t.Setenv("SETUP_PASSWORD", "battery staple")
	got := ""
	s := &Site{
		Config:  &Config{Distributions: []distributionConfig{{}, {Environment: []string{"SETUP_PASSWORD"}}}},
		Observe: Observe{Output: func(data, text string) { got += data + "> " + text }},
	}
	s.runner().Output("connecting with battery staple")
	require.Equal(t, "> connecting with $SETUP_PASSWORD", got)
}

func TestMigrationsThatContradictThemselves(t *testing.T) {
	structure := []string{"structure"}
	for name, c := range map[string]struct {
		migrate []migrateConfig
		said    string
	}{
		"unknown":  {[]migrateConfig{{Database: "other", Structure: structure}}, `migrate "other": database names no [[postgres]]`},
		"twice":    {[]migrateConfig{{Database: "asp", Structure: structure}, {Database: "asp", Structure: structure}}, `migrate "asp": this database is given twice`},
		"neither":  {[]migrateConfig{{Database: "asp"}}, "give either structure or sql"},
		"both":     {[]migrateConfig{{Database: "asp", Structure: structure, SQL: "SELECT 1"}}, "give either structure or sql"},
		"sql":      {[]migrateConfig{{Database: "docs.db", SQL: "SELECT 1"}}, "sql is for a [[postgres]]"},
		"goes on":  {[]migrateConfig{{Database: "asp", Structure: structure, GoesOn: true}}, "goes_on needs command"},
		"possible": {[]migrateConfig{{Database: "asp", SQL: "SELECT 1"}, {Database: "docs.db", Structure: structure, Command: structure, GoesOn: true}}, ""},
	} {
		config := Config{
			Postgres: []postgresConfig{{Name: "asp"}}, SQLite: []pathConfig{{Path: "/srv/docs.db"}},
			Distributions: []distributionConfig{{Name: "АСП", Migrate: c.migrate}},
		}
		m := config.checkMigrations()
		if c.said == "" {
			require.Empty(t, m, name)
			continue
		}
		require.Len(t, m, 1, name)
		require.ErrorContains(t, m[0], "distribution АСП: ", name)
		require.ErrorContains(t, m[0], c.said, name)
	}
	require.NotEmpty(t, (&Config{Parallel: -1}).checkMigrations())
}

// Data that lies in a directory is not worked on beside it.
func TestParallelDataIsNotNested(t *testing.T) {
	c := &Config{Parallel: 2, Directories: []pathConfig{{Path: "/opt/asp"}, {Path: "/opt/asp-data"}}, SQLite: []pathConfig{{Path: "/opt/asp/data/asp.db"}}}
	require.Len(t, c.checkParallel(), 1)
	require.ErrorContains(t, c.checkParallel()[0], "[[sqlite]] /opt/asp/data/asp.db is in [[directory]] /opt/asp, and they would be worked on at the same time")
	c.Directories = append(c.Directories, pathConfig{Path: "/opt/asp-data/files"})
	require.Len(t, c.checkParallel(), 2)
	c.Parallel = 1
	require.Empty(t, c.checkParallel())
}
