package page

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxViewers = 50
	kept       = 16               // renderings, for those who reconnect
	heartbeat  = 15 * time.Second // keeps proxies from cutting
	stalled    = 30 * time.Second // a reader that takes nothing is cut
)

// index shows the page. A page that is not live is as fresh as this.
func (p *Page) index(w http.ResponseWriter, r *http.Request, f *face) {
	p.read(r.Context(), time.Second)
	now := p.current(f)
	var main bytes.Buffer
	now.root.write(&main)
	f.write(w, http.StatusOK, "page", map[string]any{"Main": markup(main.String()), "Version": now.version})
}

// current returns the rendering of the last snapshot. One that shows the same as that
// before is that before.
func (p *Page) current(f *face) *rendering {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.kept
	s := p.watch.last()
	if len(list) > 0 && list[len(list)-1].snapshot == s.n {
		return list[len(list)-1]
	}
	r := &rendering{snapshot: s.n, root: f.render(p.view(s))}
	if len(list) > 0 {
		old := list[len(list)-1]
		if len(old.root.changes(r.root)) == 0 {
			old.snapshot = s.n
			return old
		}
		r.version = old.version + 1
	} else {
		r.version = uint64(p.now().UnixMicro()) // more than those of an earlier process
	}
	if list = append(list, r); len(list) > kept {
		list = list[1:]
	}
	f.kept = list
	return r
}

// since returns the rendering of a version, nil if it is not kept.
func (f *face) since(version string) *rendering {
	v, err := strconv.ParseUint(version, 10, 64)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.kept {
		if err == nil && r.version == v {
			return r
		}
	}
	return nil
}

// live sends what changes, as server-sent events: each has the elements that differ,
// and the browser puts them in the place of those with their ids.
func (p *Page) live(w http.ResponseWriter, r *http.Request, f *face) {
	if !p.watch.view(1) {
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer p.watch.view(-1)
	version := r.Header.Get("Last-Event-ID")
	if version == "" {
		version = r.URL.Query().Get("since")
	}
	shown := f.since(version)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(stalled))
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	if !send("retry: 2000\n\n") {
		return
	}
	p.Wake()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		_, next := p.watch.after()
		if now := p.current(f); now != shown {
			changes := []string{now.root.text()}
			if shown != nil {
				changes = shown.root.changes(now.root)
			}
			if !send(event(now.version, changes)) {
				return
			}
			shown = now
		}
		select {
		case <-r.Context().Done():
			return
		case <-next:
		case <-beat.C:
			if !send(":\n\n") {
				return
			}
		}
	}
}

func event(version uint64, changes []string) string {
	data := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.Join(changes, ""))
	return fmt.Sprintf("id: %d\ndata: %s\n\n", version, strings.ReplaceAll(data, "\n", "\ndata: "))
}

// A rendering is the page as it was at one time, in a language.
type rendering struct {
	version  uint64
	snapshot uint64
	root     *node
}

// A node is an element with an id, whose children have ids as well, or none.
type node struct {
	id          string
	open, close string // of a leaf, open is everything
	children    []*node
}

func (n *node) write(b *bytes.Buffer) {
	b.WriteString(n.open)
	for _, c := range n.children {
		c.write(b)
	}
	b.WriteString(n.close)
}

func (n *node) text() string {
	var b bytes.Buffer
	n.write(&b)
	return b.String()
}

// changes returns the elements that must replace those of n to make it now.
func (n *node) changes(now *node) (all []string) {
	if n == now {
		return nil
	}
	if n.open != now.open || n.close != now.close || len(n.children) != len(now.children) {
		return []string{now.text()}
	}
	for i, c := range n.children {
		if c.id != now.children[i].id {
			return []string{now.text()}
		}
		all = append(all, c.changes(now.children[i])...)
	}
	return all
}
