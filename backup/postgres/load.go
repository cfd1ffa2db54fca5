package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/aspupdate/aspupdate/backup"
)

// load restores the dump into the empty database name. It does not use one
// transaction: a server does not have enough locks for thousands of tables or large
// objects. The commits are not synced; that of the swap is.
func (s *session) load(ctx context.Context, t tools, name, file string, f facts) error {
	conn, err := s.to(ctx, name)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if f.NoPublic {
		if _, err := conn.Exec(ctx, "DROP SCHEMA public"); err != nil {
			return err
		}
	}
	s.begins(eventLoad)
	meter := s.meter(eventLoad, f.DumpBytes)
	if toc := newContents(); toc == nil {
		err = s.pour(ctx, t, name, file, f, meter, nothing)
	} else {
		err = s.loadInParts(ctx, t, name, file, f, toc, meter)
		_ = toc.Close()
	}
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ANALYZE") // pg_dump leaves the planner's statistics out
	return err
}

// loadInParts loads the rows, makes the indexes and keys of a table while the rows
// of the next ones are loaded, and then, several at a time, all that is left.
// pg_restore itself does so only from a file, which this dump is not.
func (s *session) loadInParts(ctx context.Context, t tools, name, file string, f facts, toc *contents, meter io.Writer) error {
	listed := sync.OnceValue(func() *order { return toc.read(ctx, t.restore) })
	filled := newMilestones()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := s.pour(gctx, t, name, file, f, io.MultiWriter(meter, toc), filled.heard, "--verbose", "--section=pre-data", "--section=data")
		filled.end()
		if err != nil {
			return err
		}
		if o := listed(); o != nil {
			return s.make(gctx, t, name, toc, o.take(len(o.filled)), jobs)
		}
		return nil
	})
	g.Go(func() error {
		for n := range filled.reached(gctx) {
			o := listed()
			if o == nil {
				return nil
			}
			if err := s.make(gctx, t, name, toc, o.take(n), "1"); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	o := listed()
	if o == nil {
		return s.pour(ctx, t, name, file, f, io.Discard, nothing, postData)
	}
	return s.make(ctx, t, name, toc, o.rest, jobs)
}

// make makes some of the entries that come after the rows. They are listed
// without their section: a comment has none of its own, but that of the listed
// entry before it. The list is passed without a file: the disk may be full.
func (s *session) make(ctx context.Context, t tools, name string, toc *contents, entries []string, jobs string) error {
	if len(entries) == 0 {
		return nil
	}
	cmd := s.restoring(t, name, "--jobs="+jobs, "--use-list=/proc/self/fd/0", inherited)
	cmd.ExtraFiles = []*os.File{toc.File}
	cmd.Stdin = strings.NewReader(strings.Join(entries, ";\n") + ";\n")
	return errors.Join(run(ctx, cmd), ctx.Err())
}

func (s *session) restoring(t tools, name string, args ...string) *exec.Cmd {
	cmd := s.command(name, t.restore, append(args, "--exit-on-error")...)
	cmd.Env = append(cmd.Env, "PGOPTIONS="+asOurselves+" -c synchronous_commit=off")
	return cmd
}

// pour has pg_restore read the dump from its standard input, passes its lines to
// heard, and compares the dump's SHA-256 with that of the backup.
func (s *session) pour(ctx context.Context, t tools, name, file string, f facts, also io.Writer, heard func(line string) (known bool), args ...string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	unpack, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return err
	}
	defer unpack.Close()
	raw := sha256.New()
	source := io.TeeReader(unpack, io.MultiWriter(raw, also))
	cmd := s.restoring(t, name, args...)
	cmd.Stdin = source
	if err := runHeard(ctx, cmd, heard); err != nil {
		return errors.Join(err, ctx.Err())
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err
	}
	if sum := hex.EncodeToString(raw.Sum(nil)); sum != f.DumpSHA256 {
		return fmt.Errorf("%w: the dump's SHA-256 is %s, backed up with %s", backup.ErrDamaged, sum, f.DumpSHA256)
	}
	return nil
}

// milestones counts the tables that are filled, by the lines of pg_restore
// --verbose. If their wording changes one day, all indexes come after all rows.
type milestones struct {
	begun atomic.Int64
	news  chan struct{} // holds one
	over  chan struct{}
}

func newMilestones() *milestones {
	return &milestones{news: make(chan struct{}, 1), over: make(chan struct{})}
}

// heard reports whether a line is neither an error nor a warning, which have a label.
func (m *milestones) heard(line string) bool {
	text, ok := strings.CutPrefix(line, "pg_restore: ")
	if strings.HasPrefix(text, "processing data for table ") {
		m.begun.Add(1)
		select {
		case m.news <- struct{}{}:
		default:
		}
	}
	label, _, _ := strings.Cut(text, " ")
	return ok && !strings.HasSuffix(label, ":")
}

func (m *milestones) end() { close(m.over) }

// reached yields how many tables are filled, until end.
func (m *milestones) reached(ctx context.Context) iter.Seq[int] {
	return func(yield func(int) bool) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-m.over:
				return
			case <-m.news:
				// The last one that was begun is not filled yet.
				if n := int(m.begun.Load()) - 1; n > 0 && !yield(n) {
					return
				}
			}
		}
	}
}

func nothing(string) bool { return false }
