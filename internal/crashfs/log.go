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

// The kinds of calls that change a folder, or make a change safe.
const (
	Create   Kind = "create" // a file, unless it is there
	Mkdir    Kind = "mkdir"
	Write    Kind = "write"    // Data at Off
	Truncate Kind = "truncate" // to the length Off
	Rename   Kind = "rename"   // to To
	Remove   Kind = "remove"   // a file or a folder
	Sync     Kind = "sync"     // a file or a folder
)

// An Op is one call that succeeded. Paths are relative and slash-separated.
type Op struct {
	Kind     Kind
	Path, To string
	Off      int64
	Data     string
}

// A Log is what a process did to a folder.
type Log struct {
	Base Image // what the folder held before, all of it safe
	Ops  []Op
}

// Below returns what the process did to one folder in the folder. Nothing may
// have been moved into or out of it.
func (l Log) Below(dir string) Log {
	sub := Log{Base: l.Base.Below(dir)}
	for _, op := range l.Ops {
		rel, ok := strings.CutPrefix(op.Path+"/", dir+"/")
		if !ok {
			continue
		}
		op.Path = strings.TrimSuffix(rel, "/")
		if op.Kind == Rename {
			op.To = strings.TrimPrefix(op.To, dir+"/")
		}
		sub.Ops = append(sub.Ops, op)
	}
	return sub
}

// A Loss is how much of the unsynced a crash takes.
type Loss string

// The losses. A process that is killed loses nothing: the kernel lives on.
const (
	All    Loss = "all"
	None   Loss = "none"
	Random Loss = "random"
)

// A Crash is what a disk may hold after one.
type Crash struct {
	After int // how many calls came before it
	Loss  Loss
	Image Image
}

// Crashes yields the crashes before and after every call: at each moment
// first with all, then with nothing and then, as often as draws says, with
// some of the unsynced lost. It panics where the log contradicts itself.
func (l Log) Crashes(rnd *rand.Rand, draws int) iter.Seq[Crash] {
	return func(yield func(Crash) bool) {
		disk := newDisk(l.Base)
		for i := range len(l.Ops) + 1 {
			if i > 0 {
				if err := disk.do(l.Ops[i-1]); err != nil {
					panic(err)
				}
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
