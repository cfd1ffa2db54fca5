package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/process"
)

const (
	// lingerTimeout is how long processes that an installer leaves may live without
	// an event: the kernel may count a process a moment longer than it lives.
	lingerTimeout = 2 * time.Second
	// applicationTimeout is how long programs of the application are waited for
	// once the installer has ended: they may do a part of its work.
	applicationTimeout = 30 * time.Second
	// lingerInterval is the time between two events about what is waited for.
	lingerInterval = 5 * time.Minute
)

// waitOrEnd waits for the end of the run, or ends it with the deadline or the
// context, whose cause it returns. endErr means that processes are left.
func (r *Runner) waitOrEnd(ctx context.Context, c Command, rec record, t *process.Tree, w *silence) (cause, endErr error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Deadline, fmt.Errorf("%w: the installer did not end within %s", ErrTimeout, c.Deadline))
	defer cancel()
	ticker := time.NewTicker(w.interval())
	defer ticker.Stop()
	for exited := t.Exited(); ; {
		select {
		case <-exited:
			if cause, err := process.Poll(ctx, r.rest(rec, t, w).alive); cause == nil {
				return nil, err
			}
			exited = nil
		case <-ticker.C:
			w.report(r, rec, t)
		case <-ctx.Done():
			if err := t.End(); err != nil {
				return context.Cause(ctx), err
			}
			<-t.Exited()
			return context.Cause(ctx), nil
		}
	}
}

// A rest is what an installer has left running. The run lasts until it has ended,
// because some installers return at once and go on in a child; but neither for the
// application, nor where the command says that something stays.
type rest struct {
	r        *Runner
	rec      record
	t        *process.Tree
	w        *silence
	limit    time.Duration // of the wait for the application
	since    time.Time     // when the root was found to have ended
	reported time.Time     // when what is waited for was reported
	living   bool          // something stays
}

func (r *Runner) rest(rec record, t *process.Tree, w *silence) *rest {
	limit := applicationTimeout
	if r.applicationTimeout > 0 {
		limit = r.applicationTimeout
	}
	return &rest{r: r, rec: rec, t: t, w: w, limit: limit}
}

// alive reports whether something is left that is waited for.
func (s *rest) alive() (bool, error) {
	yes, err := s.t.Alive()
	if err != nil || !yes {
		return false, err
	}
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
	}
	if s.rec.LeavesRunning {
		return false, s.leave("the command says that they may stay")
	}
	left, err := s.t.Members()
	if err != nil {
		return true, err
	}
	after := now.Sub(s.since)
	if after >= s.limit && s.rec.isApplication(left) {
		return false, s.leave("they are the application")
	}
	if after >= lingerTimeout && (s.reported.IsZero() || now.Sub(s.reported) >= lingerInterval) {
		s.reported = now
		s.r.event(eventLingering, 0, s.rec.Started, "the installer has ended, processes that it started have not: %s; waiting for them, unless leaves_running says that they may stay", names(left))
	}
	if s.w != nil {
		s.w.report(s.r, s.rec, s.t)
	}
	return true, nil
}

// leave notes that what is left stays.
func (s *rest) leave(why string) error {
	left, err := s.t.Members()
	if err != nil || s.living {
		return err
	}
	s.living = true
	s.r.event(eventLeft, 0, s.rec.Started, "the installer has ended; processes that it started live on, because %s: %s", why, names(left))
	return writeLeft(s.r.State, s.rec.Record)
}

// isApplication reports whether all of the processes are programs of the application, or
// interpreters that run a file of it, or were started by such a process. Its services are no part of the tree: the system starts them.
// A console of Windows, which belongs to another program's, does not count.
func (r record) isApplication(left []process.Member) bool {
	left = slices.DeleteFunc(slices.Clone(left), func(m process.Member) bool {
		return runtime.GOOS == "windows" && strings.EqualFold(m.Name, "conhost.exe")
	})
	ours := map[int]bool{} // the processes of the application, and those that they have started
	for grown := true; grown; {
		grown = false
		for _, m := range left {
			if !ours[m.PID] && (ours[m.Parent] || r.within(m.Path) || slices.ContainsFunc(scripts(m), r.within)) {
				ours[m.PID], grown = true, true
			}
		}
	}
	return len(left) > 0 && len(ours) == len(left)
}

// within reports whether a file is in a directory of the application.
func (r record) within(path string) bool {
	return path != "" && slices.ContainsFunc(r.Application, func(dir string) bool {
		in, err := durable.Within(path, dir)
		return err == nil && in
	})
}

// interpreters are programs that run an application that their arguments name. Shells are not
// among them: what they run is more often a part of the installer's work.
var interpreters = regexp.MustCompile(`(?i)^(javaw?|pythonw?|pypy|perl|ruby|php|node|nodejs|mono|dotnet|lua|tclsh)(-?[0-9.]+)?(\.exe)?$`)

// scripts returns the files that an interpreter runs: the first argument that names files. Those
// that follow are for the script, such as a file of the application that it changes.
func scripts(m process.Member) (files []string) {
	if !interpreters.MatchString(m.Name) {
		return nil
	}
	args, dir := m.Arguments()
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		for _, path := range append(filepath.SplitList(arg), arg) { // Java has lists
			all, wild := strings.CutSuffix(path, "*") // all in a directory
			if all = strings.TrimSpace(all); all != "" && !filepath.IsAbs(all) {
				if dir == "" {
					continue
				}
				all = filepath.Join(dir, all)
			}
			if fi, err := os.Stat(all); err == nil && (fi.Mode().IsRegular() || wild && fi.IsDir()) {
				files = append(files, all)
			}
		}
		if len(files) > 0 {
			break
		}
	}
	return files
}

// names lists processes for people.
func names(list []process.Member) string {
	const most = 8
	var texts []string
	for _, m := range list[:min(len(list), most)] {
		texts = append(texts, fmt.Sprintf("%s (%d)", m.Name, m.PID))
	}
	if len(list) > most {
		texts = append(texts, fmt.Sprintf("and %d others", len(list)-most))
	}
	return strings.Join(texts, ", ")
}
