package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/aspupdate/aspupdate/backup/postgres"
)

// A source is a database that a query is asked of, or with a pattern those of its server.
type source struct {
	names
	secret
}

// askedAtOnce is how many databases are asked at a time.
const askedAtOnce = 8

// planned returns the probe of an update, which the databases of its plan take part in: one
// that is not there any more is not forgotten.
func (c probeConfig) planned(of *Config) probeConfig {
	if c.SQL == "" {
		return c
	}
	c.sources = slices.Clone(c.sources)
	for _, db := range of.databases(c.InDB) {
		if db.name != "" {
			c.sources = append(c.sources, source{names{kind: db.kind(), name: db.name}, db.secret})
		}
	}
	return c
}

// query asks every database for the version. All must answer the same one.
func (c probeConfig) query(ctx context.Context) (string, error) {
	list, err := c.databases(ctx)
	if err != nil {
		return "", err
	}
	answers, errs := make([]string, len(list)), make([]error, len(list))
	var all sync.WaitGroup
	turn := make(chan struct{}, askedAtOnce)
	for i, db := range list {
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			answers[i], errs[i] = db.ask(ctx, c.Role, c.SQL)
		})
	}
	all.Wait()
	if len(list) == 1 {
		return answers[0], errs[0]
	}
	return together(list, answers, errs)
}

// databases returns those that are asked: the ones that a pattern matches now, and the ones that are named.
func (c probeConfig) databases(ctx context.Context) (list []source, err error) {
	add := func(n names, uri secret) {
		if !slices.ContainsFunc(list, func(have source) bool { return have.kind == n.kind && have.name == n.name }) {
			list = append(list, source{names{kind: n.kind, name: n.name}, uri})
		}
	}
	for _, s := range c.sources {
		if !s.open() {
			add(s.names, s.secret)
			continue
		}
		server, err := dbServerOf(ctx, s.kind, s.value())
		if err != nil {
			return nil, err
		}
		for _, n := range s.among(server) {
			uri, err := databaseURI(s.kind, s.value(), n.name)
			if err != nil {
				return nil, err
			}
			add(n, secret{&uri})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no database of the server matches %q: there is nothing that answers the version query", c.InDB)
	}
	slices.SortStableFunc(list, func(a, b source) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// ask asks one database, with the rights of a role.
func (s source) ask(ctx context.Context, role, query string) (answer string, err error) {
	if s.kind == "mssql" {
		return askMSSQL(ctx, s.value(), role, query)
	}
	answer, err = (&postgres.Database{URI: s.value(), Reader: role}).Ask(ctx, query)
	if err != nil {
		return "", fmt.Errorf("the database does not answer the version query: %w", err)
	}
	if len(answer) > 256 || strings.ContainsFunc(answer, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("the version query returned more than a version: query the version alone")
	}
	return answer, nil
}

// together returns what all databases answer.
func together(list []source, answers []string, errs []error) (string, error) {
	var failed []string
	var first error
	by := map[string][]string{} // names by answer
	for i, db := range list {
		if errs[i] != nil {
			failed = append(failed, db.name)
			if first == nil {
				first = fmt.Errorf("%s: %w", db.name, errs[i])
			}
			continue
		}
		by[answers[i]] = append(by[answers[i]], db.name)
	}
	switch {
	case len(failed) > 1:
		return "", fmt.Errorf("%w; %d of %d databases fail: %s", first, len(failed), len(list), some(failed))
	case first != nil:
		return "", first
	case len(by) == 1:
		return answers[0], nil
	}
	var parts []string
	for version, of := range by {
		parts = append(parts, fmt.Sprintf("%q: %s", version, some(of)))
	}
	slices.Sort(parts)
	return "", fmt.Errorf("the databases answer different versions: %s", strings.Join(parts[:min(len(parts), 4)], "; "))
}

// some returns the first names of a list, and how many more there are.
func some(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
