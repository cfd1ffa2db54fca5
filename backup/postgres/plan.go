package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
)

// A privileged object is one of the application's that only a superuser can restore, such as
// a function in C. Its statements may hold expressions of others than
// superusers, so that it is restored only if its name was given.
type privileged struct {
	What  string `json:"what"`
	Class uint32 `json:"class"`
	OID   uint32 `json:"oid"`
}

// readPrivileged lists such objects, from what pg_dump's and the statements' documentation
// reserves to superusers.
func readPrivileged(ctx context.Context, q querier) ([]privileged, error) {
	return collect[privileged](ctx, q, `WITH closed AS ( -- functions of extensions that were not given to everybody
			SELECT p.oid FROM pg_proc p JOIN pg_depend e ON classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
			WHERE NOT has_function_privilege('public', p.oid, 'EXECUTE'))
		SELECT type || ' ' || identity, classid, objid FROM (
			SELECT 'pg_proc'::regclass::oid AS classid, p.oid AS objid FROM pg_proc p JOIN pg_language l ON l.oid = prolang
				WHERE prokind <> 'a' AND NOT lanpltrusted OR proleakproof OR prosupport <> 0
				OR EXISTS (SELECT FROM unnest(proconfig) c JOIN pg_settings s ON s.name = split_part(c, '=', 1) WHERE s.context = 'superuser')
			UNION ALL SELECT 'pg_proc'::regclass, aggfnoid FROM pg_aggregate WHERE aggtranstype = 'internal'::regtype OR aggmtranstype = 'internal'::regtype
			UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typtype = 'b' AND typcategory <> 'A'
			UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
			UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper WHERE fdwhandler <> 0 OR fdwvalidator <> 0
			UNION ALL SELECT 'pg_class'::regclass, ftrelid FROM pg_foreign_table JOIN pg_foreign_server s ON s.oid = ftserver
				JOIN pg_foreign_data_wrapper w ON w.oid = srvfdw WHERE fdwname = 'file_fdw'
			UNION ALL SELECT 'pg_trigger'::regclass, t.oid FROM pg_trigger t WHERE NOT tgisinternal AND tgfoid IN (SELECT oid FROM closed)
			UNION ALL SELECT 'pg_class'::regclass, i.oid FROM pg_class i WHERE relkind = 'i' AND EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
				AND objid = i.oid AND refclassid = 'pg_proc'::regclass AND refobjid IN (SELECT oid FROM closed))
		) o, pg_identify_object(classid, objid, 0)
		WHERE objid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid AND deptype IN ('e', 'i')) ORDER BY 1`)
}

// dumpableLanguages fails if the database has a language whose handlers pg_dump leaves out, since they belong to the system or to an
// extension: what it writes of the language is then CREATE LANGUAGE without them, which the server takes for CREATE EXTENSION.
func dumpableLanguages(ctx context.Context, q querier) error {
	list, err := collect[struct{ Name string }](ctx, q, `SELECT lanname::text FROM pg_language l WHERE oid >= 16384
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_language'::regclass AND objid = l.oid AND deptype = 'e')
		AND NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = lanname)
		AND EXISTS (SELECT FROM pg_proc p WHERE oid IN (lanplcallfoid, laninline, lanvalidator) AND (pronamespace = 'pg_catalog'::regnamespace
			OR EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'))) ORDER BY 1`)
	if err != nil || len(list) == 0 {
		return err
	}
	return advise(fmt.Errorf("%w: pg_dump leaves out the handlers of the language %q, and its dump cannot be restored", backup.ErrIncompatible, list[0].Name),
		"drop the language, or make its handlers outside pg_catalog")
}

// waived fails if an object needs a superuser and was not named.
func (d *Database) waived(list []privileged) error {
	var missing []string
	for _, p := range list {
		if !slices.Contains(d.AsSuperuser, p.What) {
			missing = append(missing, p.What)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return advise(fmt.Errorf("%w: only a superuser can restore %q, and runs their code then", backup.ErrPermission, missing),
		"drop them, or name them in AsSuperuser if you trust the owner of the database with the server")
}

// A step restores some entries as the superuser or as the login.
type step struct {
	super bool
	ids   []string
}

// A plan says who restores which entries of a dump, and when.
type plan struct {
	first     []string // superuser: extensions and their schemas, before anything else exists
	config    []string // login: rows of tables of extensions, likewise
	structure []step
	rows      []string // login
	rest      []string // login: indexes, keys, triggers and so on
	last      []string // superuser: rights and what only superusers can make, all without expressions but those that were waived by name

	foreign []*tocEntry // materialized views over foreign tables, which the login cannot read
}

// names that only superusers can make, and that hold no expressions: the server runs
// nothing when it makes them.
var (
	superNames = []string{
		"ACCESS METHOD", "CAST", "FOREIGN DATA WRAPPER", "OPERATOR CLASS", "OPERATOR FAMILY", "SHELL TYPE", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE", "TRANSFORM",
	}
	superLast = []string{"ACL", "DEFAULT ACL", "EVENT TRIGGER", "PUBLICATION TABLES IN SCHEMA", "ROW SECURITY", "USER MAPPING"}
	noEntries = []string{"DATABASE", "DATABASE PROPERTIES", "ENCODING", "STDSTRINGS", "SEARCHPATH"}
)

// newPlan plans the restore of a dump.
func newPlan(entries []*tocEntry, super []privileged, named []string) plan {
	var p plan
	first, superMade, relations := map[int]bool{}, map[int]bool{}, map[string]bool{}
	byID := map[int]*tocEntry{}
	for _, e := range entries {
		byID[e.id] = e
		if strings.HasSuffix(e.desc, "TABLE") || e.desc == "SEQUENCE" || e.desc == "MATERIALIZED VIEW" {
			relations[e.namespace+"\x00"+e.tag] = true
		}
	}
	for _, e := range entries {
		if e.desc == "EXTENSION" {
			first[e.id] = true
			for _, n := range e.needs {
				if d := byID[n]; d != nil && d.desc == "SCHEMA" {
					first[n] = true
				}
			}
		}
	}
	foreign := overForeignTables(entries)
	var last, post, triggers []string
	for _, e := range entries {
		id := fmt.Sprint(e.id)
		about := e.desc == "COMMENT" || e.desc == "SECURITY LABEL"
		// The dump need not have the schema public itself, which every new database has.
		ofSuper := about && (e.tag == "SCHEMA public" || slices.ContainsFunc(e.needs, func(n int) bool { return superMade[n] || first[n] }))
		ofTrigger := ofSuper && slices.ContainsFunc(e.needs, func(n int) bool { return byID[n] != nil && byID[n].desc == "EVENT TRIGGER" })
		waived := slices.Contains(named, e.String()) || slices.ContainsFunc(super, func(s privileged) bool { return s.Class == e.class && s.OID == e.oid && e.oid != 0 })
		switch {
		case slices.Contains(noEntries, e.desc):
		case first[e.id]:
			p.first = append(p.first, id)
		case e.desc == "EVENT TRIGGER":
			superMade[e.id] = true
			triggers = append(triggers, id) // last of all: it fires from then on
		case ofTrigger:
			triggers = append(triggers, id)
		case slices.Contains(superLast, e.desc), ofSuper, e.desc == "PUBLICATION" && strings.Contains(e.defn, " FOR ALL TABLES"):
			superMade[e.id] = true
			last = append(last, id)
		case e.desc == refreshes && foreign[e.id]:
			p.foreign = append(p.foreign, e)
		case waived && e.section == sectionPostData:
			superMade[e.id] = true
			post = append(post, id)
		case e.section == sectionPreData || e.section == sectionNone:
			isSuper := waived || e.isShell() || slices.Contains(superNames, e.desc) && !about
			superMade[e.id] = isSuper
			if len(p.structure) == 0 || p.structure[len(p.structure)-1].super != isSuper {
				p.structure = append(p.structure, step{super: isSuper})
			}
			st := &p.structure[len(p.structure)-1]
			st.ids = append(st.ids, id)
		case e.section == sectionData:
			if (e.desc == "TABLE DATA" || e.desc == "SEQUENCE SET") && !relations[e.namespace+"\x00"+e.tag] {
				p.config = append(p.config, id)
			} else {
				p.rows = append(p.rows, id)
			}
		default:
			p.rest = append(p.rest, id)
		}
	}
	p.last = slices.Concat(last, post, triggers)
	return p
}

const refreshes = "MATERIALIZED VIEW DATA"

// overForeignTables returns the entries that need a foreign table, perhaps as part of another
// table.
func overForeignTables(entries []*tocEntry) map[int]bool {
	over, parents := map[int]bool{}, map[int]bool{}
	for _, e := range entries {
		parents[e.id] = e.desc == "TABLE"
	}
	for more := true; more; {
		more = false
		mark := func(id int) {
			more = more || !over[id]
			over[id] = true
		}
		for _, e := range entries {
			needsOne := slices.ContainsFunc(e.needs, func(n int) bool { return over[n] })
			switch {
			case e.desc == "FOREIGN TABLE":
				mark(e.id)
				for _, n := range e.needs { // what it inherits from is read with it
					if parents[n] {
						mark(n)
					}
				}
			case e.desc == "TABLE ATTACH" && needsOne: // a partition and its parent
				for _, n := range e.needs {
					if parents[n] {
						mark(n)
					}
				}
			case needsOne && (strings.HasSuffix(e.desc, "VIEW") || e.desc == "RULE" || e.desc == refreshes):
				mark(e.id)
			}
		}
	}
	return over
}
