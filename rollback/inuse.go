package rollback

import (
	"cmp"
	"slices"
)

// A Use is why the journal names a release, in a word: see [Status.Uses].
type Use string

// The uses, the most important first.
const (
	useCommitted   Use = "committed"   // what is installed, and what a rollback installs (R10, R15)
	usePending     Use = "pending"     // an update that has not ended comes from it or leads to it
	useRollback    Use = "rollback"    // an operator's rollback could go back to it, or forward again
	useQuarantined Use = "quarantined" // it was rolled back, and its quarantine may be lifted
)

var uses = []Use{useCommitted, usePending, useRollback, useQuarantined}

// Vital reports whether an update or its rollback cannot do without the release: its
// loss is an alarm.
func (u Use) Vital() bool { return u == useCommitted || u == usePending }

// An InUse is a release that must not be pruned from the archive of versions.
type InUse struct {
	Part    string
	Release Release
	Use     Use // the most important one
}

// Uses returns the releases that the journal needs or names, by part and
// version: those that pruning an archive of versions must keep (R10). The
// journal does not know what is installed: a caller adds what its probes find.
func (s Status) Uses() []InUse {
	var all []InUse
	add := func(part string, r Release, use Use) {
		if r.Version != "" {
			all = append(all, InUse{part, r, use})
		}
	}
	for part, r := range s.Committed {
		add(part, r, useCommitted)
	}
	if s.Pending != nil {
		for _, p := range s.Pending.Plan.Parts {
			for _, r := range []Release{p.From, p.To, p.Setup} {
				add(p.Name, r, usePending)
			}
		}
	}
	for _, point := range s.restorePoints() {
		for _, p := range point.Parts {
			add(p.Name, p.From, useRollback)
			add(p.Name, p.To, useRollback)
		}
	}
	for _, q := range s.Quarantined {
		add(q.Part, q.Release, useQuarantined)
	}
	slices.SortFunc(all, func(a, b InUse) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Release.Version, b.Release.Version),
			cmp.Compare(slices.Index(uses, a.Use), slices.Index(uses, b.Use)), cmp.Compare(a.Release.SHA256, b.Release.SHA256))
	})
	return slices.CompactFunc(all, func(a, b InUse) bool { return a.Part == b.Part && a.Release.Version == b.Release.Version })
}
