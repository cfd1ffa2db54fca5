package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/rollback"
)

// A [[postgres]] or [[mssql]] names one database, or a pattern of names. All that works
// on databases works on a site in which each pattern was replaced by the databases that
// it matches, one block for each: see [Site.resolved] and [Site.planned].

// Patterns are the [[postgres]] and [[mssql]] that name their databases by a pattern.
type Patterns []Pattern

// A Pattern is one of them.
type Pattern struct {
	Name string   `json:"pattern"` // such as "postgres asp_*"
	Data []string `json:"data"`    // what it matches, as datasets are named
}

// Names returns the names of the databases in one line.
func (p Pattern) Names() string {
	kind, _, _ := strings.Cut(p.Name, " ")
	var list []string
	for _, data := range p.Data {
		list = append(list, strings.TrimPrefix(data, kind+" "))
	}
	return strings.Join(list, ", ")
}

// Of returns the pattern that a dataset is of.
func (p Patterns) Of(data string) (Pattern, bool) {
	i := slices.IndexFunc(p, func(one Pattern) bool { return slices.Contains(one.Data, data) })
	if i < 0 {
		return Pattern{}, false
	}
	return p[i], true
}

// Brief returns datasets with each pattern in place of its databases, where all of them are meant.
func (p Patterns) Brief(list []string) []string {
	for _, one := range p {
		i := slices.IndexFunc(list, func(data string) bool { return slices.Contains(one.Data, data) })
		if i < 0 || slices.ContainsFunc(one.Data, func(data string) bool { return !slices.Contains(list, data) }) {
			continue
		}
		list = slices.Clone(list)
		list[i] = one.Name
		list = slices.DeleteFunc(list, func(data string) bool { return slices.Contains(one.Data, data) })
	}
	return list
}

// Purposes returns in short what space is needed for, see [rollback.Need]: with each pattern in place
// of its databases, and data for which the same is needed in one. Of much data it has the first, which
// needs the most, and then a line for each purpose.
func (p Patterns) Purposes(of string) string {
	for _, one := range p {
		for _, data := range one.Data {
			of = strings.ReplaceAll(of, data+": ", one.Name+": ")
		}
	}
	var order []string
	purposes := map[string][]string{} // by data, "" for what is needed for none
	for what := range strings.SplitSeq(of, ", ") {
		data := ""
		if i := strings.LastIndex(what, ": "); i >= 0 {
			data, what = what[:i], what[i+2:]
		}
		if !slices.Contains(order, data) {
			order = append(order, data)
		}
		if !slices.Contains(purposes[data], what) {
			purposes[data] = append(purposes[data], what)
		}
	}
	var texts []string
	between := "; "
	for len(order) > 0 {
		same := func(data string) bool {
			return (data == "") == (order[0] == "") && slices.Equal(purposes[data], purposes[order[0]])
		}
		var alike, others []string
		for _, data := range order {
			if same(data) {
				alike = append(alike, data)
			} else {
				others = append(others, data)
			}
		}
		text := strings.Join(purposes[order[0]], ", ")
		if order[0] != "" {
			text = few(alike) + ": " + text
			if len(alike) > most {
				between = "\n"
			}
		}
		texts, order = append(texts, text), others
	}
	return strings.Join(texts, between)
}

// most is how much data is named.
const most = 3

// few returns the first of a long list, and how many more there are.
func few(list []string) string {
	if len(list) <= most+1 {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// names are the databases that a [[postgres]] or [[mssql]] names.
type names struct {
	kind    string
	name    string // of one database, or of one that the pattern matches
	pattern string
	except  []string
}

func (p postgresConfig) names() names { return names{"postgres", p.Name, p.Databases, p.Except} }
func (c mssqlConfig) names() names    { return names{"mssql", c.Name, c.Databases, c.Except} }

// data returns the name of the database's dataset.
func (n names) data() string { return n.kind + " " + n.name }

// block returns how people know the block.
func (n names) block() string { return n.kind + " " + cmp.Or(n.pattern, n.name) }

// open reports whether it is not known yet which databases it is.
func (n names) open() bool { return n.name == "" && n.pattern != "" }

// servers returns one database of each block: the databases of a pattern have one server.
func servers[T interface{ names() names }](list []T) (one []T) {
	for _, db := range list {
		if !slices.ContainsFunc(one, func(have T) bool { return have.names().block() == db.names().block() }) {
			one = append(one, db)
		}
	}
	return one
}

// system are the databases of a server itself.
var system = map[string][]string{
	"postgres": {"postgres", "template0", "template1"},
	"mssql":    {"master", "model", "msdb", "tempdb"},
}

// ours are the names of what backups, restores, proofs and self-tests make beside the
// databases of others.
var ours = map[string]*regexp.Regexp{
	"postgres": regexp.MustCompile(`_aspupdate_(clone|new|old|differs)_[0-9a-f]{14}$`),
	"mssql":    regexp.MustCompile(`_aspupdate_(new|old|undone|differ)_[0-9a-f]{12}$|^aspupdate_selftest$`),
}

// check checks what can be without the server.
func (n names) check() (m mistakes) {
	m.when(n.name == "" && n.pattern == "", "a [[%s]] has no name: give the database's, or a pattern in databases", n.kind)
	m.when(n.name != "" && n.pattern != "", "[[%s]] databases = %q excludes name = %q: give one of them", n.kind, n.pattern, n.name)
	m.when(n.pattern == "" && len(n.except) > 0, "[[%s]] except needs databases", n.kind)
	for _, p := range append([]string{n.pattern}, n.except...) {
		if _, err := path.Match(p, ""); err != nil {
			m.add(fmt.Errorf("[[%s]] databases: the pattern %q cannot be read: * stands for any characters, ? for one, [a-z] for one of them", n.kind, p))
			return m
		}
	}
	for _, name := range system[n.kind] {
		if n.matches(name, n.kind == "mssql") {
			m.add(fmt.Errorf("[[%s]] databases = %q matches %s, which is the server's own: write a narrower pattern, or add that name to except", n.kind, n.pattern, name))
			break
		}
	}
	return m
}

// matches reports whether the pattern matches a database, and except does not. fold
// means that upper and lower case are the same, as a server may have it.
func (n names) matches(database string, fold bool) bool {
	match := func(pattern string) bool {
		name := database
		if fold {
			pattern, name = strings.ToLower(pattern), strings.ToLower(name)
		}
		// To path.Match a slash is a border.
		slash := strings.NewReplacer("/", "\x00")
		ok, _ := path.Match(slash.Replace(pattern), slash.Replace(name))
		return ok
	}
	return n.pattern != "" && match(n.pattern) && !slices.ContainsFunc(n.except, match)
}

// expand returns the site with each pattern replaced by the databases that find
// returns for it. With an error the patterns for which find has failed are left out.
func (s *Site) expand(find func(n names, uri string) ([]string, error)) (*Site, error) {
	c, t := *s.Config, *s
	t.Config, t.patterns = &c, nil
	c.Postgres, c.MSSQL = nil, nil
	var errs []error
	found := func(n names, uri string, add func(name, uri string)) {
		list, err := find(n, uri)
		errs = append(errs, err)
		p := Pattern{Name: n.block()}
		for _, name := range list {
			of, err := databaseURI(n.kind, uri, name)
			if err != nil {
				errs = append(errs, err)
				return
			}
			add(name, of)
			n.name = name
			p.Data = append(p.Data, n.data())
		}
		if err == nil {
			t.patterns = append(t.patterns, p)
		}
	}
	for _, p := range s.Config.Postgres {
		if !p.names().open() {
			c.Postgres = append(c.Postgres, p)
			continue
		}
		found(p.names(), p.value(), func(name, uri string) {
			p.Name, p.secret = name, secret{&uri}
			c.Postgres = append(c.Postgres, p)
		})
	}
	for _, p := range s.Config.MSSQL {
		if !p.names().open() {
			c.MSSQL = append(c.MSSQL, p)
			continue
		}
		found(p.names(), p.value(), func(name, uri string) {
			p.Name, p.secret = name, secret{&uri}
			c.MSSQL = append(c.MSSQL, p)
		})
	}
	return &t, errors.Join(errs...)
}

// patterned reports whether a block names a pattern that was not replaced yet.
func (c *Config) patterned() bool {
	return slices.ContainsFunc(c.Postgres, func(p postgresConfig) bool { return p.names().open() }) ||
		slices.ContainsFunc(c.MSSQL, func(p mssqlConfig) bool { return p.names().open() })
}

// planned returns the site with the databases of a plan, a restore point or a store,
// whatever the servers have now. What no pattern matches is left out.
func (s *Site) planned(data []string) *Site {
	if !s.Config.patterned() {
		return s
	}
	taken := map[string]bool{}
	for _, p := range s.Config.Postgres {
		taken[p.names().data()] = true
	}
	for _, p := range s.Config.MSSQL {
		taken[p.names().data()] = true
	}
	t, err := s.expand(func(n names, _ string) (list []string, _ error) {
		for _, one := range data {
			name, of := strings.CutPrefix(one, n.kind+" ")
			// Where case counts, no other pattern matches what differs in nothing else.
			if of && !taken[one] && n.matches(name, n.kind == "mssql") {
				taken[one] = true
				list = append(list, name)
			}
		}
		return list, nil
	})
	if err != nil { // the configuration was checked
		return s
	}
	return t
}

// resolved returns the site with the databases that the servers have now. The error wraps
// [ErrConfig] if a pattern matches none, or one that another block has as well. With an
// error it returns the site without the databases concerned.
func (s *Site) resolved(ctx context.Context) (*Site, error) {
	if !s.Config.patterned() {
		return s, nil
	}
	r := &resolver{site: s, owners: map[string]string{}}
	errs := []error{r.others(ctx)}
	t, err := s.expand(func(n names, uri string) ([]string, error) {
		list, err := r.find(ctx, n, uri)
		if err != nil {
			return nil, fmt.Errorf("[[%s]] databases = %q: %w", n.kind, n.pattern, err)
		}
		return list, nil
	})
	return t, errors.Join(append(errs, err)...)
}

// A resolver remembers which block a database is of.
type resolver struct {
	site   *Site
	owners map[string]string
}

// take notes that a database is of a block, and fails if another one has it. Two blocks may
// name it in different ways, and two servers may have the same name: then its backups
// would have the same name, too.
func (r *resolver) take(n names, server dbServer, database string) error {
	for _, key := range []string{n.data(), strings.Join([]string{n.kind, server.id, server.key(database)}, "\x00")} {
		if owner, taken := r.owners[key]; taken && owner != n.block() {
			return fmt.Errorf("%w: it matches %s, which %s has as well: add that name to except, or write narrower patterns", ErrConfig, database, owner)
		}
		r.owners[key] = n.block()
	}
	return nil
}

// others notes the databases of the blocks that name one.
func (r *resolver) others(ctx context.Context) error {
	var errs []error
	note := func(n names, uri string) {
		if n.open() {
			return
		}
		server, err := dbServerOf(ctx, n.kind, uri)
		if err == nil {
			err = r.take(n, server, server.database)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.data(), err))
		}
	}
	for _, p := range r.site.Config.Postgres {
		note(p.names(), p.value())
	}
	for _, p := range r.site.Config.MSSQL {
		note(p.names(), p.value())
	}
	return errors.Join(errs...)
}

// find returns the databases of a server that a pattern matches.
func (r *resolver) find(ctx context.Context, n names, uri string) (list []string, err error) {
	server, err := dbServerOf(ctx, n.kind, uri)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, one := range n.among(server) {
		if err := errors.Join(r.site.Config.usable(one), r.take(one, server, one.name)); err != nil {
			errs = append(errs, err)
		}
		list = append(list, one.name)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(list) == 0 && !r.site.First { // FullSetup creates them
		return nil, fmt.Errorf("%w: it matches none of the %d databases of the server: correct databases or except", ErrConfig, len(server.databases))
	}
	return list, nil
}

// among returns the databases of a server that the pattern matches, each by its name.
func (n names) among(server dbServer) (list []names) {
	for _, name := range server.databases {
		if !slices.Contains(system[n.kind], name) && !ours[n.kind].MatchString(name) && n.matches(name, server.fold) {
			n.name = name
			list = append(list, n)
		}
	}
	return list
}

// usable fails if a name cannot be shown, or cannot be handed to the commands that restructure the
// database: these may be read by a shell, and who may create a database chooses its name.
func (c *Config) usable(n names) error {
	const next = "rename it, or add it to except"
	if !utf8.ValidString(n.name) || strings.ContainsFunc(n.name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return fmt.Errorf("%w: the name %q of a database cannot be printed: %s", ErrConfig, n.name, next)
	}
	plain := !strings.HasPrefix(n.name, "-") && !strings.ContainsFunc(n.name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" _-.", r)
	})
	for _, d := range c.Distributions {
		for _, m := range d.Migrate {
			if !plain && m.Database == n.pattern && slices.ContainsFunc(m.verbatim(), func(a string) bool { return strings.Contains(a, placeholder) }) {
				return fmt.Errorf("%w: the name %q of a database has other characters than letters, digits, spaces and _-. and is not put into a command or request: %s", ErrConfig, n.name, next)
			}
		}
	}
	return nil
}

// same fails if the patterns match other databases now than those that the update was planned for.
func (s *Site) same(ctx context.Context, planned Patterns) error {
	now, err := s.resolved(ctx)
	if err != nil {
		return err
	}
	all := func(patterns Patterns) (list []string) {
		for _, p := range patterns {
			list = append(list, p.Data...)
		}
		return list
	}
	was, is := all(planned), all(now.patterns)
	without := func(list, of []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(list), func(name string) bool { return slices.Contains(of, name) }), ", ")
	}
	var changes []string
	if appeared := without(is, was); appeared != "" {
		changes = append(changes, "appeared: "+appeared)
	}
	if gone := without(was, is); gone != "" {
		changes = append(changes, "gone: "+gone)
	}
	if len(changes) == 0 {
		return nil
	}
	return &rollback.Error{Reason: rollback.ReasonPlanChanged, Err: fmt.Errorf("changed since the plan was made: the databases: %s", strings.Join(changes, "; ")), Next: "make a new plan"}
}

// aFence is what [roles.Fence] returns.
type aFence interface {
	rollback.Fence
	Settle(ctx context.Context) (finished bool, err error)
	Unwrap() []rollback.Fence
}

// A rollCall is a fence that fails if, once users are out, there are other databases than
// planned: one that was created since would be changed by the update without a backup.
// It is asked once: what the update itself creates later does not count.
type rollCall struct {
	aFence
	same  func(context.Context) error
	asked bool
}

// sameBehind returns the fence with a roll call behind it, if the site has a fence.
func sameBehind(f rollback.Fence, same func(context.Context) error) rollback.Fence {
	if f, ok := f.(aFence); ok {
		return &rollCall{aFence: f, same: same}
	}
	return f
}

func (r *rollCall) Close(ctx context.Context) error {
	if err := r.aFence.Close(ctx); err != nil || r.asked {
		return err
	}
	err := r.same(ctx)
	r.asked = err == nil
	return err
}

// A dbServer is what a server says of its databases.
type dbServer struct {
	id        string // the same for the same server
	fold      bool   // upper and lower case of names are the same
	databases []string
	database  string // that the connection string names
}

// key returns the same for two names of one database.
func (s dbServer) key(name string) string {
	if s.fold {
		return strings.ToLower(name)
	}
	return name
}

// dbServerOf asks the server. It changes nothing.
func dbServerOf(ctx context.Context, kind, uri string) (s dbServer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if kind == "mssql" {
		s, err = mssqlServer(ctx, uri)
	} else {
		s.id, s.database, s.databases, err = (&postgres.Database{URI: uri}).Server(ctx)
	}
	if err != nil {
		return s, fmt.Errorf("cannot list the databases of the server: %w", err)
	}
	slices.Sort(s.databases)
	return s, nil
}

// databaseURI returns the connection string for another database.
func databaseURI(kind, uri, database string) (string, error) {
	u, err := url.Parse(uri)
	isURL := err == nil && slices.Contains([]string{"postgres", "postgresql", "sqlserver"}, u.Scheme)
	switch {
	case kind == "mssql" && !isURL:
		return "", errors.New("[[mssql]] databases needs a connection string that begins with sqlserver://")
	case kind == "mssql":
		query := u.Query()
		for key := range query {
			if strings.EqualFold(key, "database") {
				delete(query, key)
			}
		}
		query.Set("database", database)
		u.RawQuery = query.Encode()
		return u.String(), nil
	case isURL: // to pgx a plus is no space
		query := slices.DeleteFunc(strings.Split(u.RawQuery, "&"), func(word string) bool {
			key, _, _ := strings.Cut(word, "=")
			return key == "" || key == "dbname" || key == "database"
		})
		u.RawQuery = strings.Join(append(query, "dbname="+strings.ReplaceAll(url.QueryEscape(database), "+", "%20")), "&")
		return u.String(), nil
	}
	// The last of several words with the same key counts.
	return uri + " dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database) + "'", nil
}
