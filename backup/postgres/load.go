package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/ctxio"
)

// load restores the dump into the empty database name. It does not use one
// transaction: a server does not have enough locks for thousands of tables or large
// objects. The commits are not synced; that of the swap is.
func (s *session) load(ctx context.Context, t tools, name, file string, f facts) error {
	var toc *contents
	if !s.serial {
		toc = newContents()
	}
	if toc != nil {
		defer func() { _ = toc.Close() }()
	}
	return s.loadWith(ctx, t, name, file, f, toc, s.meter(eventLoad, f.DumpBytes))
}

// loadWith is load with a file for the table of contents, which may be nil.
func (s *session) loadWith(ctx context.Context, t tools, name, file string, f facts, toc *contents, meter io.Writer) error {
	if err := s.d.waived(f.Privileged); err != nil {
		return err
	}
	entries, head, err := verified(ctx, file, f)
	if err != nil {
		return err
	}
	p := newPlan(entries, f.Privileged, s.d.AsSuperuser)
	conn, err := s.to(ctx, name, writing)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	// Names in the dump are in the database's encoding, and passed on as they are.
	if _, err := conn.Exec(ctx, "SET client_encoding = SQL_ASCII"); err != nil {
		return err
	}
	if f.NoPublic {
		if _, err := conn.Exec(ctx, "DROP SCHEMA public"); err != nil {
			return err
		}
	}
	l, err := s.newLogin(ctx, name, entries)
	if err != nil {
		return err
	}
	in, err := s.asLogin(ctx, &l, name)
	if err != nil {
		return err
	}
	defer closeConn(in)
	s.begins(eventLoad)
	if err := s.part(ctx, t, name, head, f, p.first, noOwner); err != nil {
		return err
	}
	if err := s.guard(ctx, conn, l); err != nil {
		return fmt.Errorf("cannot prepare the copy for the role that loads it: %w", err)
	}
	err = s.loadAs(ctx, conn, l, t, name, file, head, f, p, entries, toc, meter)
	if err != nil {
		return errors.Join(s.unchanged(ctx, l), needsSuperuser(err, entries)) // pg_restore cannot log in with a changed password
	}
	// ANALYZE runs functions, and the event trigger does not refuse a change of the password.
	if err := s.lockOut(ctx, l.role); err != nil {
		return err
	}
	// pg_dump leaves the planner's statistics out. They can be made any time later.
	if _, err := in.Exec(ctx, "ANALYZE"); err != nil {
		s.warn("ANALYZE of the restored database failed, and can be repeated later: " + err.Error())
	}
	closeConn(in)
	if err := s.handOver(ctx, conn, l, entries, p, f); err != nil {
		return err
	}
	if err := s.part(ctx, t, name, head, f, p.last); err != nil {
		return err
	}
	if !s.proving { // a proof connects to no other machine, and does not compare materialized views
		for _, e := range p.foreign {
			if err := s.refresh(ctx, conn, e); err != nil {
				s.warn(fmt.Sprintf("the %s reads foreign tables and is empty until REFRESH MATERIALIZED VIEW: %v", strings.TrimSuffix(e.String(), " data"), err))
			}
		}
	}
	return s.dropLogin(ctx)
}

// refresh computes a materialized view with the rights of its owner, whose user mapping the
// foreign server needs.
func (s *session) refresh(ctx context.Context, conn *pgx.Conn, e *tocEntry) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var super bool
		if err := tx.QueryRow(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = "+literal(e.owner)).Scan(&super); err != nil {
			return err
		}
		if super {
			return errors.New("it belongs to a superuser, with whose rights nothing of a dump is run")
		}
		after, err := s.asOwner(ctx, tx, e.owner, "void", "REFRESH MATERIALIZED VIEW "+ident(e.namespace, e.tag))
		if err != nil {
			return err
		}
		statements := []string{"SELECT " + s.ownersFunction(), "DROP FUNCTION " + s.ownersFunction()} // it is the owner's from now on
		if s.limited {
			statements = append(statements, "DROP SCHEMA "+ownersSchema)
		}
		for _, sql := range append(statements, after...) {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// loadAs loads what the login makes, and in between what only superusers can.
func (s *session) loadAs(ctx context.Context, conn *pgx.Conn, l login, t tools, name, file string, head []byte, f facts, p plan, entries []*tocEntry, toc *contents, meter io.Writer) error {
	as := s.loading(l)
	if len(p.config) > 0 {
		rights := func(verb, preposition string) error {
			for _, e := range entries {
				kind := map[string]string{"TABLE DATA": "TABLE", "SEQUENCE SET": "SEQUENCE"}[e.desc]
				if kind == "" || !slices.Contains(p.config, strconv.Itoa(e.id)) {
					continue
				}
				if _, err := conn.Exec(ctx, verb+" ALL ON "+kind+" "+ident(e.namespace, e.tag)+" "+preposition+" "+ident(l.role)); err != nil {
					return err
				}
			}
			return nil
		}
		if err := rights("GRANT", "TO"); err != nil {
			return err
		}
		// Nothing of the application's exists yet that could run, and change these rows.
		if err := as.pour(ctx, t, name, file, f, io.Discard, nothing, p.config); err != nil {
			return err
		}
		if err := rights("REVOKE", "FROM"); err != nil {
			return err
		}
	}
	for _, step := range p.structure {
		var err error
		if step.super {
			if err = s.part(ctx, t, name, head, f, step.ids, noOwner, noACL); err == nil {
				err = s.admit(ctx, conn, l)
			}
		} else {
			err = as.part(ctx, t, name, head, f, step.ids, noOwner, noACL)
		}
		if err != nil {
			return err
		}
	}
	if toc == nil {
		if err := as.pour(ctx, t, name, file, f, meter, nothing, p.rows); err != nil {
			return err
		}
		return as.part(ctx, t, name, head, f, p.rest, noOwner, noACL)
	}
	err := as.loadInParts(ctx, t, name, file, head, f, toc, meter, p)
	s.inParts = err != nil
	return err
}

// verified reads a dump as far as its table of contents, and compares the SHA-256 of all of it. A person who
// can write where backups are kept may exchange the file at any time, and a superuser runs
// statements of it. So these are taken from head, which is what was compared.
func verified(ctx context.Context, file string, f facts) (entries []*tocEntry, head []byte, err error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = in.Close() }()
	unpack, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, nil, err
	}
	defer unpack.Close()
	raw := sha256.New()
	source := io.TeeReader(ctxio.Reader(ctx, unpack), raw)
	var kept bytes.Buffer
	if entries, err = readContents(io.TeeReader(source, &kept)); err != nil {
		return nil, nil, err
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return nil, nil, err
	}
	return entries, kept.Bytes(), same(raw, f)
}

// same compares the SHA-256 of a dump with that of the backup.
func same(raw hash.Hash, f facts) error {
	if sum := hex.EncodeToString(raw.Sum(nil)); sum != f.DumpSHA256 {
		return fmt.Errorf("%w: the dump's SHA-256 is %s, backed up with %s", backup.ErrDamaged, sum, f.DumpSHA256)
	}
	return nil
}

// part restores some entries that have no rows, from the beginning of the dump.
func (s *session) part(ctx context.Context, t tools, name string, head []byte, f facts, ids []string, args ...string) error {
	if len(ids) == 0 {
		return nil
	}
	cmd := s.restoring(t, name, f, args...)
	cmd.Stdin = bytes.NewReader(head)
	done, err := useList(cmd, ids)
	if err != nil {
		return err
	}
	defer done()
	return errors.Join(run(ctx, cmd), ctx.Err())
}

// loadInParts loads the rows, makes the indexes and keys of a table while the rows
// of the next ones are loaded, and then, several at a time, all that is left.
// pg_restore itself does so only from a file, which this dump is not.
func (s *session) loadInParts(ctx context.Context, t tools, name, file string, head []byte, f facts, toc *contents, meter io.Writer, p plan) error {
	listed := sync.OnceValue(func() *order { return toc.read(ctx, t.restore).only(p.rest) })
	filled := newMilestones()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := s.pour(gctx, t, name, file, f, io.MultiWriter(meter, toc), filled.heard, p.rows, "--verbose")
		filled.end()
		if err != nil {
			return err
		}
		if o := listed(); o != nil {
			return s.make(gctx, t, name, f, toc, o.take(len(o.filled)), jobs)
		}
		return nil
	})
	g.Go(func() error {
		for n := range filled.reached(gctx) {
			o := listed()
			if o == nil {
				return nil
			}
			if err := s.make(gctx, t, name, f, toc, o.take(n), "1"); err != nil {
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
		return s.part(ctx, t, name, head, f, p.rest, noOwner, noACL)
	}
	return s.make(ctx, t, name, f, toc, o.rest, jobs)
}

const (
	noOwner = "--no-owner"
	noACL   = "--no-privileges"
)

// make makes some of the entries that come after the rows. They are listed
// without their section: a comment has none of its own, but that of the listed
// entry before it. The list is passed without a file: the disk may be full.
func (s *session) make(ctx context.Context, t tools, name string, f facts, toc *contents, entries []string, jobs string) error {
	if len(entries) == 0 {
		return nil
	}
	cmd := s.restoring(t, name, f, noOwner, noACL, "--jobs="+jobs, "--use-list=/proc/self/fd/0", inherited)
	cmd.ExtraFiles = []*os.File{toc.File}
	cmd.Stdin = strings.NewReader(strings.Join(entries, ";\n") + ";\n")
	return errors.Join(run(ctx, cmd), ctx.Err())
}

func (s *session) restoring(t tools, name string, f facts, args ...string) *exec.Cmd {
	more := []string{"synchronous_commit", "off"}
	if f.Way == wayOfSQL { // dumped with the database's own
		more = append(more, "lc_monetary", "", "lc_numeric", "")
	}
	return s.command(name, t.restore, s.options(loading, more...), append(args, "--exit-on-error")...)
}

// pour has pg_restore read the dump from its standard input and load those rows, passes its lines to
// heard, and compares the dump's SHA-256 with that of the backup.
func (s *session) pour(ctx context.Context, t tools, name, file string, f facts, also io.Writer, heard func(line string) (known bool), rows []string, args ...string) error {
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
	if len(rows) > 0 {
		cmd := s.restoring(t, name, f, append(args, noOwner, noACL)...)
		cmd.Stdin = source
		done, err := useList(cmd, rows)
		if err != nil {
			return err
		}
		defer done()
		if err := runHeard(ctx, cmd, heard); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err
	}
	return same(raw, f)
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
