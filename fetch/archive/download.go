package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/retry"
)

const (
	// overlap is how much of what we have is asked for again when a download
	// goes on, and compared: a server that ignores REST or has another file
	// by now is seen there.
	overlap = 64 << 10
	// checkpoint is how many bytes a power cut may cost.
	checkpoint = 64 << 20
)

// A remote is one file to bring. Part.Path is its place below the payload, ""
// for the payload itself.
type remote struct {
	fetch.Part
	from string // on the server
}

// ask asks the server for the size and the time of all that belongs to a
// file of a release.
func ask(ctx context.Context, src fetch.Source, file fetch.File) ([]remote, error) {
	now, err := file.Refresh(ctx, src)
	if now.Parts == nil {
		return []remote{{fetch.Part{Size: now.Size, Time: now.Time}, file.Path}}, err
	}
	var all []remote
	for _, p := range now.Parts {
		from := path.Join(file.Path, p.Path)
		p.Path = names.Text(p.Path)
		all = append(all, remote{p, from})
	}
	return all, err
}

// A download brings one variant, from as many transfers as it takes.
type download struct {
	a    *Archive
	src  fetch.Source
	key  Key
	file fetch.File
	want []remote // as the server had it when the download started
	st   *stage

	pipe    *pipe
	limit   *rate.Limiter // nil: none
	unsaved int64         // bytes since the journal was saved
	// All bytes of a file came, twice compared at the end, and the server
	// never said that it is done: some firewalls forget the control
	// connection during a long transfer. Good enough only for who knows the
	// hash.
	unconfirmed error

	total, before int64 // bytes of all files, and of those that are done
	began         time.Time
	beganAt       int64
	reported      time.Time
}

// run downloads until as many bytes of each file are there as the server
// told, the end of each transfer was confirmed (or see unconfirmed), and all
// sizes and times are still what they were. It returns the files with their
// hashes.
func (d *download) run(ctx context.Context) ([]fetch.Part, error) {
	have := int64(0)
	for _, w := range d.want {
		d.total += w.Size
		have += d.st.room(w.Path, w.Size)
	}
	if err := d.a.space(d.total - have); err != nil {
		return nil, err
	}
	d.pipe = newPipe(d.total)
	if d.a.Rate > 0 {
		d.limit = limiter(d.a.Rate)
	}
	d.began = clock.Now(d.a.Now)
	var done []fetch.Part
	for _, w := range d.want {
		sum, err := d.one(ctx, w)
		if err != nil {
			return nil, err
		}
		d.before += w.Size
		done = append(done, fetch.Part{Path: w.Path, Size: w.Size, Time: w.Time, SHA256: sum})
	}
	if len(d.want) > 1 { // nothing asked for the others while the last one came
		if err := d.unchanged(ctx); err != nil {
			return nil, err
		}
	}
	return done, d.st.save()
}

// one downloads one file, and returns its SHA-256.
func (d *download) one(ctx context.Context, w remote) (sum string, err error) {
	part, err := d.st.open(w.Path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, part.close()) }()
	if err := part.resume(ctx, w.Size, w.Time); err != nil {
		return "", err
	}
	t := &taking{download: d, w: w, part: part}
	d.beganAt += part.size
	if part.size > 0 {
		d.a.observe(Event{Kind: EventResumed, Key: d.key, Path: w.from, Done: d.before + part.size, Total: d.total})
	}
	if part.confirmed && len(d.want) > 1 {
		return part.sum(), nil // by an earlier run; what became of it since is asked for at the end
	}
	if err := t.run(ctx); err != nil {
		return "", err
	}
	return part.sum(), nil
}

func (d *download) checkpoint() int64 { return cmp.Or(d.a.checkpoint, checkpoint) }

// unchanged asks for sizes and times again.
func (d *download) unchanged(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now, err := ask(ctx, d.src, d.file)
	switch {
	case errors.Is(err, fetch.ErrNotFound):
		return changed(d.file.Path, errors.New("it vanished"))
	case err != nil:
		return err
	}
	same := func(a, b remote) bool { return a.from == b.from && a.Size == b.Size && a.Time.Equal(b.Time) }
	if slices.EqualFunc(d.want, now, same) {
		return nil
	}
	if d.file.Parts != nil {
		return changed(d.file.Path, errors.New("the files in it are not the ones that were there when the download began"))
	}
	was := d.want[0]
	return changed(d.file.Path, fmt.Errorf("%d bytes of %s before, %d bytes of %s now", was.Size, when(was.Time), now[0].Size, when(now[0].Time)))
}

func when(t time.Time) string {
	if t.IsZero() {
		return "unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

var errUnconfirmed = errors.New("the server did not confirm the end of the transfer")

// A taking is the download of one file.
type taking struct {
	*download
	w     remote
	part  *partial
	whole bool  // a server that does not resume: each transfer starts at 0
	from  int64 // where the present transfer started
}

func (t *taking) run(ctx context.Context) error {
	tries := retry.Start(retry.Policy(t.a.Retry))
	var unconfirmed error
	most := t.part.size
	for {
		err := t.transfer(ctx)
		t.part.confirmed = err == nil
		if nerr := t.note(err != nil); nerr != nil {
			return nerr
		}
		// What cannot be helped by trying again is returned as it is. But that
		// a file is not there, or not from an offset on, may be a change.
		if over, ok := errors.AsType[gaveUp](err); ok {
			return over.error
		}
		if err != nil && !temporary(err) && !refusal(err) {
			return err
		}
		if err != nil || len(t.want) == 1 {
			if cerr := t.unchanged(ctx); cerr != nil {
				return cerr
			}
		}
		if err == nil || !temporary(err) {
			return err
		}
		if errors.Is(err, errUnconfirmed) {
			if unconfirmed != nil {
				t.unconfirmed = err
				return nil //nolint:nilerr // for whoever vouches for the bytes to decide
			}
			unconfirmed = err
		}
		if t.part.size > most { // the budget is for standing still, and for starting over
			most = t.part.size
			tries.Reset()
		}
		wait, again := tries.Next()
		if !again {
			return err
		}
		t.a.observe(Event{Kind: EventRetry, Key: t.key, Path: t.w.from, Done: t.before + t.part.size, Total: t.total, Try: tries.Made, Wait: wait, Err: err})
		if err := clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// gaveUp is something temporary that a source has tried again by itself: here
// that is the end of it.
type gaveUp struct{ error }

// refusal reports whether the server refused the file, rather than us.
func refusal(err error) bool {
	e, ok := errors.AsType[*fetch.Error](err)
	return ok && e.Code != 0 && !errors.Is(err, fetch.ErrCredentials) || errors.Is(err, fetch.ErrNotFound)
}

// broken is a transfer that did not end as it should. It is worth another try.
func (t *taking) broken(err error) error {
	return &fetch.Error{Op: "read", Name: t.w.from, Reason: fetch.ErrUnreachable, Err: err, Temporary: true}
}

// transfer opens the file once and takes what comes. It returns nil only if
// all is there and the server confirmed the end.
func (t *taking) transfer(ctx context.Context) error {
	t.from = 0
	if !t.whole {
		t.from = max(0, t.part.size-overlap)
	}
	// Whatever ends this function ends the transfer at once.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := t.src.Open(ctx, t.w.from, t.from)
	if err != nil {
		if t.from > 0 && errors.Is(err, errors.ErrUnsupported) {
			t.whole = true
			return t.broken(err)
		}
		if temporary(err) {
			return gaveUp{err}
		}
		return err
	}
	if err := t.take(ctx, cancel, r); err != nil {
		_ = r.Close()
		return err
	}
	if err := r.Close(); err != nil {
		return t.broken(fmt.Errorf("%w: %w", errUnconfirmed, err))
	}
	return nil
}

// take compares what is known and writes what is new.
func (t *taking) take(ctx context.Context, cancel func(), r io.Reader) error {
	if t.limit != nil {
		r = &limited{ctx, r, t.limit}
	}
	if err := t.compare(r); err != nil {
		return err
	}
	return t.pipe.run(ctx, cancel, r, t.write)
}

// write takes the next bytes and what ended them, if anything did.
func (t *taking) write(b []byte, err error) error {
	if int64(len(b)) > t.w.Size-t.part.size {
		return t.again(fmt.Errorf("more bytes than the %d that the server told", t.w.Size))
	}
	if len(b) > 0 {
		if _, err := t.part.Write(b); err != nil {
			return err
		}
		t.unsaved += int64(len(b))
		t.progress(t.part.size)
		if t.unsaved >= t.checkpoint() {
			if err := t.note(true); err != nil {
				return err
			}
		}
	}
	switch {
	case errors.Is(err, io.EOF) && t.part.size < t.w.Size:
		return t.broken(fmt.Errorf("ended after %d of %d bytes", t.part.size, t.w.Size))
	case errors.Is(err, io.EOF), err == nil:
		return nil
	case t.part.size == t.w.Size:
		return t.broken(fmt.Errorf("%w: %w", errUnconfirmed, err))
	}
	return t.broken(err)
}

// compare reads the bytes from the offset on that are here already.
func (t *taking) compare(r io.Reader) error {
	mine, theirs := make([]byte, overlap), make([]byte, overlap)
	for at := t.from; at < t.part.size; {
		n := int(min(int64(len(mine)), t.part.size-at))
		if _, err := t.part.f.ReadAt(mine[:n], at); err != nil {
			return err
		}
		got, err := io.ReadFull(r, theirs[:n])
		if !bytes.Equal(mine[:got], theirs[:got]) {
			return t.again(errors.New("what the server sends does not fit what is here"))
		}
		if err != nil {
			return t.broken(fmt.Errorf("ended after %d of %d bytes: %w", at+int64(got), t.w.Size, err))
		}
		at += int64(n)
	}
	return nil
}

// again gives up on resuming after bytes that do not fit. If they came for an
// offset, the server may have ignored it: the next transfer starts at 0 and
// is compared from there. If they came from 0, what is here is of no use.
func (t *taking) again(why error) error {
	if t.from > 0 && !t.whole {
		t.whole = true
	} else {
		t.a.observe(Event{Kind: EventRestarted, Key: t.key, Path: t.w.from, Total: t.total, Err: why})
		if err := t.part.restart(); err != nil {
			return err
		}
		t.beganAt, t.began = t.before, clock.Now(t.a.Now)
	}
	return t.broken(why)
}

// note makes what was written survive a power cut: at once, or the next time
// that the journal is saved.
func (t *taking) note(now bool) error {
	if err := t.part.note(t.w.Size, t.w.Time); err != nil {
		return err
	}
	if !now && t.unsaved < t.checkpoint() {
		return nil
	}
	t.unsaved = 0
	return t.st.save()
}

// progress is told at most four times a second, and at the end.
func (d *download) progress(size int64) {
	const often = 250 * time.Millisecond
	now, done := clock.Now(d.a.Now), d.before+size
	if done < d.total && now.Sub(d.reported) < often {
		return
	}
	d.reported = now
	e := Event{Kind: EventProgress, Key: d.key, Path: d.file.Path, Done: done, Total: d.total}
	if spent := now.Sub(d.began).Seconds(); spent > 0 {
		e.Rate = float64(done-d.beganAt) / spent
		const sane = 100 * 365 * 24 * time.Hour // beyond that it is as good as not known
		if left := float64(d.total-done) / e.Rate; e.Rate > 0 && left < sane.Seconds() {
			e.Left = time.Duration(left * float64(time.Second))
		}
	}
	d.a.observe(e)
}

// temporary reports whether err says of itself that trying again may help.
func temporary(err error) bool {
	e, ok := errors.AsType[*fetch.Error](err)
	return ok && e.Temporary
}
