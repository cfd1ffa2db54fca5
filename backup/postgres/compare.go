package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
)

// differences returns how the restored database differs from the backup.
func (f facts) differences(got facts) []string {
	var diff []string
	compare := func(what string, want, have any) {
		w, _ := json.Marshal(want) // plain values
		h, _ := json.Marshal(have)
		if string(w) != string(h) {
			diff = append(diff, fmt.Sprintf("%s is %s, backed up with %s", what, h, w))
		}
	}
	compare("owner", f.Owner, got.Owner)
	compare("comment", f.Comment, got.Comment)
	compare("grants", grantsOf(f.Owner, f.Grants), grantsOf(got.Owner, got.Grants))
	compare("IS_TEMPLATE", f.Template, got.Template)
	if !slices.EqualFunc(f.Settings, got.Settings, sameSetting) { // nil equals empty
		compare("settings", f.Settings, got.Settings)
	}
	want := f.Locale
	if want.Provider == "" && got.Locale.Provider == "c" { // how PostgreSQL 15 calls the only one of earlier versions
		want.Provider = "c"
	}
	compare("locale", want, got.Locale)
	compare("the list of extensions", places(f.Extensions), places(got.Extensions))
	if f.Made != nil && got.Made != nil && f.Made.Way == got.Made.Way && major(f.Server) == major(got.Server) { // versions count differently
		compare("the number of indexes, constraints and triggers", f.Made, got.Made)
	}
	diff = append(diff, tableDifferences(f.Tables, got.Tables, f.Way == got.Way)...)
	slices.Sort(diff)
	return diff
}

// tableDifferences compares sums of rows only if they were made in the same way.
func tableDifferences(want, got []table, sums bool) (diff []string) {
	key := func(t table) string { return ident(t.Schema, t.Name) }
	have := map[string]table{}
	for _, t := range got {
		have[key(t)] = t
	}
	for _, t := range want {
		h, ok := have[key(t)]
		switch {
		case !ok:
			diff = append(diff, key(t)+" is missing")
		case t.Moved:
		case h.Sequence:
			if !sameSequence(t.Sum, h.Sum) {
				diff = append(diff, fmt.Sprintf("%s is %s, backed up with %s", key(t), h.Sum, t.Sum))
			}
		case !sums && t.Rows == h.Rows && t.Name != largeObjects:
		case t.Name == largeObjects && t.Rows == h.Rows && (t.Sum == "" || h.Sum == ""): // one of the servers cannot sum them
		case h != t && t.Sum == "" && h.Sum == "":
			diff = append(diff, fmt.Sprintf("%s has %d objects, backed up with %d", key(t), h.Rows, t.Rows))
		case h != t:
			diff = append(diff, fmt.Sprintf("%s has %d rows with sum %s, backed up with %d and %s", key(t), h.Rows, h.Sum, t.Rows, t.Sum))
		}
		delete(have, key(t))
	}
	for name := range have {
		diff = append(diff, name+" is not in the backup")
	}
	return diff
}

// sameSetting ignores spaces in lists, which SET and SET FROM CURRENT write differently.
func sameSetting(a, b setting) bool {
	a.Value, b.Value = strings.ReplaceAll(a.Value, ", ", ","), strings.ReplaceAll(b.Value, ", ", ",")
	return a == b
}

func places(list []extension) (out []string) {
	for _, e := range list {
		out = append(out, e.Name+" in "+e.Schema)
	}
	return out
}

func major(server string) string {
	v, _, _ := strings.Cut(server, ".")
	return v
}

// extensionVersions returns the extensions whose version differs from the backup:
// pg_restore installs the newest that the server has. A rollback must not depend
// on that.
func (f facts) extensionVersions(got facts) (diff []string) {
	for _, e := range f.Extensions {
		for _, h := range got.Extensions {
			if h.Name == e.Name && h.Version != e.Version {
				diff = append(diff, fmt.Sprintf("the extension %q has version %s, backed up with %s", e.Name, h.Version, e.Version))
			}
		}
	}
	return diff
}

// differ returns an error with what differs, nil if nothing does.
func differ(lists ...[]string) error {
	diff := slices.Concat(lists...)
	if len(diff) == 0 {
		return nil
	}
	more := ""
	if len(diff) > 5 {
		more = fmt.Sprintf(" and %d more", len(diff)-5)
		diff = diff[:5]
	}
	return fmt.Errorf("%w: %s%s", backup.ErrMismatch, strings.Join(diff, "; "), more)
}
