package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// benchWorld is a database of about ASPUPDATE_BENCH_MB on a server that syncs to
// disk: text, JSON with a GIN index, and bytes that do not compress.
func benchWorld(b *testing.B) *world {
	b.Helper()
	mb := 300
	if n, err := strconv.Atoi(os.Getenv("ASPUPDATE_BENCH_MB")); err == nil {
		mb = n
	}
	c, err := realtest.StartPostgres("fsync=on", "full_page_writes=on", "shared_buffers=128MB", "max_wal_size=2GB")
	if err != nil {
		realtest.Skip(b, "no PostgreSQL server: %v", err)
	}
	b.Cleanup(c.Stop)
	w := &world{c: c, name: "mix", role: "app", password: rand.Text(), store: &backup.Store{Dir: filepath.Join(b.TempDir(), "store")}}
	w.db = &Database{URI: c.Admin(w.name), Bin: c.Bin}
	run := func(database, sql string) {
		conn, err := pgx.Connect(context.Background(), c.Admin(database))
		require.NoError(b, err)
		defer closeConn(conn)
		_, err = conn.PgConn().Exec(context.Background(), sql).ReadAll()
		require.NoError(b, err)
	}
	run("postgres", "CREATE ROLE app LOGIN PASSWORD "+literal(w.password))
	run("postgres", "CREATE DATABASE mix OWNER app")
	run(w.name, fmt.Sprintf(`
		CREATE TABLE people (id serial PRIMARY KEY, name text, about jsonb);
		INSERT INTO people (name, about) SELECT 'Имя ' || md5(g::text), jsonb_build_object('g', g, 'm', md5((g * 7)::text), 't', repeat('слово ', 20))
			FROM generate_series(1, %[1]d * 1500) g;
		CREATE INDEX ON people (name);
		CREATE INDEX ON people USING gin (about);
		CREATE TABLE photos (id int PRIMARY KEY, person int REFERENCES people, photo bytea);
		INSERT INTO photos SELECT g, g, (SELECT string_agg(decode(md5(random()::text || g || i), 'hex'), '') FROM generate_series(1, 640) i)
			FROM generate_series(1, %[1]d * 30) g`, mb))
	run(w.name, "VACUUM ANALYZE")
	run(w.name, "CHECKPOINT")
	return w
}

// How much of the time in which users are closed out is spent on the clone, and
// how much on the dump. The clone may need a quarter of it at most.
func BenchmarkBackup(b *testing.B) {
	w := benchWorld(b)
	for name, checksums := range map[string]bool{"plain": false, "checksums": true} {
		b.Run(name, func(b *testing.B) {
			w.db.Checksums = checksums
			t := stopwatch{w: w}
			var bytes int64
			for b.Loop() {
				t.start()
				snap, err := w.store.Take(b.Context(), "bench", w.db)
				require.NoError(b, err)
				t.stop()
				f, err := readFacts(snap.Meta)
				require.NoError(b, err)
				bytes = f.Bytes
			}
			b.ReportMetric(float64(bytes>>20), "MB")
			t.report(b, "clone", eventClone)
			t.report(b, "dump", eventDump)
			b.ReportMetric(t.of[eventClone].Seconds()/t.of[eventDump].Seconds(), "clone/dump")
		})
	}
}

// A restore from the clone may need two seconds more than the copy.
func BenchmarkWayBack(b *testing.B) {
	w := benchWorld(b)
	for _, c := range []struct {
		name      string
		checksums bool
		dump      bool
	}{{"clone", false, false}, {"clone, checksums", true, false}, {"dump", false, true}} {
		b.Run(c.name, func(b *testing.B) {
			w.db.Checksums, w.db.NoClone = c.checksums, c.dump
			if c.dump {
				require.NoError(b, w.db.Close(b.Context()))
				defer func() { require.NoError(b, w.db.Open(context.Background())) }()
			}
			snap, err := w.store.Take(b.Context(), "bench", w.db)
			require.NoError(b, err)
			dir, err := w.store.Path(snap.ID)
			require.NoError(b, err)
			t := stopwatch{w: w}
			for b.Loop() {
				t.start()
				r, err := w.db.Restore(b.Context(), dir, snap.Meta)
				require.NoError(b, err)
				t.stop()
				b.StopTimer()
				require.NoError(b, r.Discard(b.Context()))
				b.StartTimer()
			}
			if c.dump {
				t.report(b, "load", eventLoad)
			} else {
				t.report(b, "copy", eventClone)
			}
			t.report(b, "compare", eventCompare)
			t.report(b, "swap", eventSwap)
		})
	}
}

// Verify reads every byte, and may need a twentieth of the time that the other way of
// checking a dump needs: restoring it.
func BenchmarkVerify(b *testing.B) {
	w := benchWorld(b)
	snap, err := w.store.Take(b.Context(), "bench", w.db)
	require.NoError(b, err)
	dir, err := w.store.Path(snap.ID)
	require.NoError(b, err)
	// pg_restore -j2 reads no standard input.
	plain := filepath.Join(b.TempDir(), "plain.dump")
	in, err := os.Open(filepath.Join(dir, dumpFile))
	require.NoError(b, err)
	unpack, err := zstd.NewReader(in)
	require.NoError(b, err)
	out, err := os.Create(plain)
	require.NoError(b, err)
	_, err = io.Copy(out, unpack)
	unpack.Close()
	require.NoError(b, errors.Join(err, out.Close(), in.Close()))
	s, err := w.db.connect(b.Context(), writing)
	require.NoError(b, err)
	defer s.close()
	f, err := readFacts(snap.Meta)
	require.NoError(b, err)
	var ours, peers time.Duration
	for b.Loop() {
		began := time.Now()
		require.NoError(b, w.store.Verify(b.Context(), snap.ID))
		ours += time.Since(began)
		b.StopTimer()
		name := besideName(w.name, kindNew, newMark())
		_, err := s.Exec(b.Context(), s.createStatement(name, f))
		require.NoError(b, err)
		began = time.Now()
		require.NoError(b, run(b.Context(), s.command(name, filepath.Join(w.c.Bin, "pg_restore"), s.options(loading), "--jobs=2", "--exit-on-error", plain)))
		peers += time.Since(began)
		require.NoError(b, s.drop(b.Context(), name))
		b.StartTimer()
	}
	ratio := ours.Seconds() / peers.Seconds()
	b.ReportMetric(float64(f.Bytes>>20), "MB")
	b.ReportMetric(float64(snap.Bytes()>>20), "MB-stored")
	b.ReportMetric(peers.Seconds()/float64(b.N), "pg_restore-j2-s")
	b.ReportMetric(ratio, "verify/pg_restore")
	require.LessOrEqual(b, ratio, 0.05)
}

// How long clients that reconnect at once get no answer.
func BenchmarkOutageAtTheSwap(b *testing.B) {
	w := benchWorld(b)
	snap, err := w.store.Take(b.Context(), "bench", w.db)
	require.NoError(b, err)
	dir, err := w.store.Path(snap.ID)
	require.NoError(b, err)
	var worst time.Duration
	for b.Loop() {
		gaps := w.outages(b, 8, func() {
			_, err := w.db.Restore(b.Context(), dir, snap.Meta)
			require.NoError(b, err)
		})
		worst = max(worst, slices.Max(gaps))
		w.dropOld(b)
	}
	b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
}

func (w *world) dropOld(b *testing.B) {
	b.Helper()
	s, err := w.db.begin(b.Context())
	require.NoError(b, err)
	defer s.close()
	require.NoError(b, s.dropOurs(b.Context(), func(kind string, _ bool) bool { return kind == kindOld }))
}

// outages returns the longest time between two answers that each of n clients
// got, from before do ran until all had reconnected after it.
func (w *world) outages(tb testing.TB, n int, do func()) []time.Duration {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	gaps := make([]time.Duration, n)
	served := make(chan int, 1)
	for i := range n {
		wg.Go(func() {
			last := time.Time{}
			for ctx.Err() == nil {
				conn, err := pgx.Connect(ctx, w.c.URI(w.role, w.password, w.name))
				if err != nil {
					_ = pause(ctx, 5*time.Millisecond)
					continue
				}
				for ctx.Err() == nil {
					if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
						break
					}
					now := time.Now()
					if !last.IsZero() {
						gaps[i] = max(gaps[i], now.Sub(last))
					}
					last = now
					select {
					case served <- i:
					default:
					}
					_ = pause(ctx, 5*time.Millisecond)
				}
				closeConn(conn)
			}
		})
	}
	await := func() {
		deadline := time.After(30 * time.Second)
		for up := map[int]bool{}; len(up) < n; {
			select {
			case i := <-served:
				up[i] = true
			case <-deadline:
				tb.Error("clients cannot come in")
				return
			}
		}
	}
	await()
	do()
	for len(served) > 0 {
		<-served // from before
	}
	await()
	cancel()
	wg.Wait()
	return gaps
}

// A stopwatch sums up how long each stage that a Database reports takes.
type stopwatch struct {
	w    *world
	of   map[backup.EventKind]time.Duration
	runs int
	from time.Time
	last backup.EventKind
}

func (t *stopwatch) start() {
	if t.of == nil {
		t.of = map[backup.EventKind]time.Duration{}
	}
	t.runs++
	t.from, t.last = time.Now(), ""
	t.w.db.Observe = func(e backup.Event) { t.next(e.Kind) }
	t.w.store.Observe = t.w.db.Observe
}

func (t *stopwatch) next(stage backup.EventKind) {
	now := time.Now()
	t.of[t.last] += now.Sub(t.from)
	t.from, t.last = now, stage
}

func (t *stopwatch) stop() {
	t.next("")
	t.w.db.Observe, t.w.store.Observe = nil, nil
}

func (t *stopwatch) report(b *testing.B, name string, stage backup.EventKind) {
	b.ReportMetric(t.of[stage].Seconds()/float64(t.runs), name+"-s")
}
