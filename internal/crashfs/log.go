package crashfs

import (
	"cmp"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// A Kind is what a call does.
type Kind string

// The kinds of calls that change a directory or sync a change.
const (
	Create   Kind = "create" // a file, unless it exists
	Mkdir    Kind = "mkdir"
	Write    Kind = "write"    // Data at Off
	Truncate Kind = "truncate" // to the length Off
	Rename   Kind = "rename"   // to To
	Remove   Kind = "remove"   // a file or a directory
	Sync     Kind = "sync"     // a file or a directory
)

// An Op is one call that succeeded. Paths are relative and slash-separated.
type Op struct {
	Kind     Kind
	Path, To string
	Off      int64
	Data     string
}

// A Log is what a process did to a directory.
type Log struct {
	Base Image // the contents of the directory at first, all of it safe
	Past []Op  // what earlier processes did since: it may still be unsynced
	Ops  []Op
}

// Split returns the log of each directory in the directory. Nothing may have been
// moved from one to another.
func (l Log) Split() map[string]Log {
	all := map[string]Log{}
	in := func(rel string) (dir, rest string) { dir, rest, _ = strings.Cut(rel, "/"); return dir, rest }
	for rel, data := range l.Base {
		dir, rest := in(rel)
		if all[dir].Base == nil {
			all[dir] = Log{Base: Image{}}
		}
		if rest != "" {
			all[dir].Base[rest] = data
		}
	}
	for _, op := range l.Ops {
		dir, rest := in(op.Path)
		if dir == "" {
			continue // the directory itself
		}
		op.Path = rest
		if op.To != "" {
			_, op.To = in(op.To)
		}
		sub := all[dir]
		sub.Ops = append(sub.Ops, op)
		all[dir] = sub
	}
	return all
}

// Then returns the log of a process that continued with next where this one was
// killed after n calls.
func (l Log) Then(n int, next Log) Log {
	return Log{Base: l.Base, Past: slices.Concat(l.Past, l.Ops[:n]), Ops: next.Ops}
}

// A Loss is how many of the unsynced changes are lost in a crash.
type Loss string

// The losses. A killed process loses nothing: the kernel continues.
const (
	All    Loss = "all"
	None   Loss = "none"
	Random Loss = "random"
)

// A Crash is a possible state of the disk after a crash.
type Crash struct {
	After int // how many calls came before it
	Loss  Loss
	Image Image
}

// Crashes yields the crashes before and after every call: with all unsynced
// changes lost, with none lost, and draws times with some lost. It panics if the
// log contradicts itself.
func (l Log) Crashes(rnd *rand.Rand, draws int) iter.Seq[Crash] {
	return func(yield func(Crash) bool) {
		disk := newDisk(l.Base)
		do := func(op Op) {
			if err := disk.do(op); err != nil {
				panic(err)
			}
		}
		for _, op := range l.Past {
			do(op)
		}
		for i := range len(l.Ops) + 1 {
			if i > 0 {
				do(l.Ops[i-1])
			}
			for draw := range draws + 2 {
				crash := Crash{After: i, Loss: Random}
				c := cut{rnd: rnd, kept: map[*change]bool{}}
				switch draw {
				case 0:
					c.rnd, crash.Loss = nil, All
				case 1:
					c.rnd, c.keep, crash.Loss = nil, true, None
				}
				if crash.Image = c.image(disk); !yield(crash) {
					return
				}
			}
		}
	}
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
