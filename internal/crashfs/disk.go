package crashfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
)

// A node is a file or a directory: what programs see, what is synced, and the
// changes in between.
type node struct {
	names, safeNames map[string]*node // of a directory; nil for a file
	changes          []*change

	data, safeData []byte // of a file
	writes         []write
}

// A change of names is kept or lost as a whole.
type change struct {
	sets []set
	safe bool
}

type set struct {
	dir  *node
	name string
	to   *node // nil: the name is gone
}

// A write puts data at off, or, where cut is set, makes off the length.
type write struct {
	off  int
	data string
	cut  bool
}

const sector = 512

func newDir() *node { return &node{names: map[string]*node{}, safeNames: map[string]*node{}} }

func (n *node) isDir() bool { return n.names != nil }

// newDisk returns a disk with the contents of im, all of it safe.
func newDisk(im Image) *node {
	root := newDir()
	for rel, data := range im {
		dir := root
		parts := strings.Split(strings.TrimSuffix(rel, "/"), "/")
		for i, name := range parts {
			next, ok := dir.names[name]
			if !ok {
				next = newDir()
				if i == len(parts)-1 && !strings.HasSuffix(rel, "/") {
					next = &node{data: []byte(data), safeData: []byte(data)}
				}
				dir.names[name], dir.safeNames[name] = next, next
			}
			dir = next
		}
	}
	return root
}

// find returns the node of a path, and its directory and name.
func (n *node) find(rel string) (there, dir *node, name string) {
	if rel == "" {
		return n, nil, ""
	}
	dir, name = n, path.Base(rel)
	if parent := path.Dir(rel); parent != "." {
		for part := range strings.SplitSeq(parent, "/") {
			if dir = dir.names[part]; dir == nil {
				return nil, nil, name
			}
		}
	}
	return dir.names[name], dir, name
}

func alter(sets ...set) {
	c := &change{sets: sets}
	for _, s := range sets {
		if s.to == nil {
			delete(s.dir.names, s.name)
		} else {
			s.dir.names[s.name] = s.to
		}
		if l := len(s.dir.changes); l == 0 || s.dir.changes[l-1] != c {
			s.dir.changes = append(s.dir.changes, c)
		}
	}
}

func (n *node) write(w write) {
	n.data = w.on(n.data)
	n.writes = append(n.writes, w)
}

// on returns data with the write done.
func (w write) on(data []byte) []byte {
	end := w.off + len(w.data)
	if w.cut {
		data = data[:min(len(data), w.off)]
	}
	if len(data) < end {
		data = append(data[:len(data):len(data)], make([]byte, end-len(data))...)
	}
	if len(w.data) > 0 {
		data = append([]byte(nil), data...)
		copy(data[w.off:], w.data)
	}
	return data
}

// sync makes the contents of n safe, but not those of the directories in it.
func (n *node) sync() {
	n.safeNames, n.safeData, n.writes = maps.Clone(n.names), n.data, nil
	for _, c := range n.changes {
		c.safe = true
	}
	n.changes = nil
}

// do executes one call.
func (n *node) do(op Op) error {
	there, dir, name := n.find(op.Path)
	if there == nil && (dir == nil || op.Kind != Create && op.Kind != Mkdir) {
		return fmt.Errorf("%s of %s, which does not exist", op.Kind, op.Path)
	}
	switch op.Kind {
	case Create:
		if there == nil {
			alter(set{dir, name, &node{}})
		}
	case Mkdir:
		alter(set{dir, name, newDir()})
	case Remove:
		alter(set{dir, name, nil})
	case Rename:
		_, to, as := n.find(op.To)
		if to == nil {
			return fmt.Errorf("rename to %s, whose directory does not exist", op.To)
		}
		alter(set{to, as, there}, set{dir, name, nil})
	case Write:
		there.write(write{off: int(op.Off), data: op.Data})
	case Truncate:
		if int(op.Off) != len(there.data) {
			there.write(write{off: int(op.Off), cut: true})
		}
	case Sync:
		there.sync()
	}
	return nil
}

// A cut decides what happens to unsynced changes.
type cut struct {
	rnd  *rand.Rand // nil: keep decides about all of them
	keep bool
	kept map[*change]bool
}

func (c *cut) coin() bool {
	if c.rnd == nil {
		return c.keep
	}
	return c.rnd.IntN(2) == 0
}

func (c *cut) keeps(ch *change) bool {
	k, ok := c.kept[ch]
	if !ok {
		k = ch.safe || c.coin()
		c.kept[ch] = k
	}
	return k
}

// image returns what is left below n.
func (c *cut) image(n *node) Image {
	im := Image{}
	c.into(im, "", n)
	return im
}

func (c *cut) into(im Image, prefix string, n *node) {
	names := maps.Clone(n.safeNames)
	for _, ch := range n.changes {
		if !c.keeps(ch) {
			continue
		}
		for _, s := range ch.sets {
			switch {
			case s.dir != n:
			case s.to == nil:
				delete(names, s.name)
			default:
				names[s.name] = s.to
			}
		}
	}
	for _, name := range sorted(names) {
		if child := names[name]; child.isDir() {
			im[prefix+name+"/"] = ""
			c.into(im, prefix+name+"/", child)
		} else {
			im[prefix+name] = string(c.data(child))
		}
	}
}

func (c *cut) data(n *node) []byte {
	data := n.safeData
	for _, w := range n.writes {
		switch {
		case c.rnd == nil && c.keep:
			data = w.on(data)
		case c.rnd == nil:
		default:
			data = c.torn(w, data)
		}
	}
	return data
}

// torn executes a write, or a part of it, or nothing.
func (c *cut) torn(w write, data []byte) []byte {
	switch fate := c.rnd.IntN(4); {
	case fate == 0:
		return data
	case fate == 1 || w.cut:
		return w.on(data)
	case fate == 2:
		w.data = w.data[:c.rnd.IntN(len(w.data)+1)]
		return w.on(data)
	}
	// The length is there, and sectors of the contents are not.
	whole := w.on(data)
	for at := w.off / sector * sector; at < w.off+len(w.data); at += sector {
		if c.coin() {
			continue
		}
		from, to := max(at, w.off), min(at+sector, w.off+len(w.data))
		clear(whole[from:to])
		if from < len(data) {
			copy(whole[from:to], data[from:])
		}
	}
	return whole
}
