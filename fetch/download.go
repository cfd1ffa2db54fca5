package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// overlap is how much of what we have is asked for again when a download
	// goes on, and compared: a server that ignores REST or has another file
	// by now is seen there.
	overlap = 64 << 10
	// chunk is large because each read costs a timer and a call.
	chunk = 1 << 20
)

// A download brings one file, from as many transfers as it takes.
type download struct {
	a    Archive
	src  Source
	key  Key
	path string
	base Entry // size and time when it started
	part *partial

	whole bool // a server that does not resume: each transfer starts at 0
	// All bytes came, twice compared at the end, and the server never said
	// that it is done: some firewalls forget the control connection during a
	// long transfer. Good enough only for who knows the hash.
	unconfirmed error

	saved    int64
	began    time.Time
	beganAt  int64
	reported time.Time
}

func (d *download) journal() journal {
	return journal{Source: locate(d.src, d.path), Size: d.base.Size, Time: d.base.Time}
}

// run downloads until as many bytes are there as the server told, the end of
// the transfer was confirmed (or see unconfirmed), and size and time are still what they were. It
// returns the SHA-256.
func (d *download) run(ctx context.Context) (string, error) {
	if err := d.part.resume(ctx, d.journal()); err != nil {
		return "", err
	}
	if err := d.a.space(d.base.Size - d.part.size); err != nil {
		return "", err
	}
	if d.part.size > 0 {
		observe(d.a.Observe, Event{Kind: EventResumed, Key: d.key, Path: d.path, Done: d.part.size, Total: d.base.Size})
	}
	d.saved, d.began, d.beganAt = d.part.size, clock(d.a.Now), d.part.size
	waits := d.a.Retry.waits()
	for try := 1; ; try++ {
		had := d.part.size
		err := d.transfer(ctx)
		if d.part.size != d.saved || err == nil {
			if serr := d.save(); serr != nil {
				return "", serr
			}
		}
		if same := d.unchanged(ctx, err); same != nil {
			return "", same
		}
		if err == nil {
			d.unconfirmed = nil
			return d.part.sum(), nil
		}
		twice := errors.Is(err, errUnconfirmed) && d.unconfirmed != nil
		switch {
		case twice:
			return d.part.sum(), nil
		case errors.Is(err, errUnconfirmed):
			d.unconfirmed = err
		}
		if d.part.size > had { // the budget is for standing still
			try = 1
			waits.Reset()
		}
		if try >= d.a.Retry.tries() {
			return "", err
		}
		wait := waits.NextBackOff()
		observe(d.a.Observe, Event{Kind: EventRetry, Key: d.key, Path: d.path, Done: d.part.size, Total: d.base.Size, Try: try, Wait: wait, Err: err})
		if err := sleep(ctx, wait); err != nil {
			return "", err
		}
	}
}

// unchanged asks for size and time again, after the end and before going on.
// What cannot be helped by trying again is returned as it is.
func (d *download) unchanged(ctx context.Context, err error) error {
	if err != nil && !temporary(err) {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now, serr := stat(ctx, d.src, d.path)
	if serr != nil {
		if errors.Is(serr, ErrNotFound) {
			return changed(d.path, errors.New("it vanished"))
		}
		return serr
	}
	if now.Size != d.base.Size || !now.Time.Equal(d.base.Time) {
		return changed(d.path, fmt.Errorf("%d bytes of %s before, %d bytes of %s now", d.base.Size, when(d.base.Time), now.Size, when(now.Time)))
	}
	return nil
}

func when(t time.Time) string {
	if t.IsZero() {
		return "unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

var errUnconfirmed = errors.New("the server did not confirm the end of the transfer")

// broken is a transfer that did not end as it should. It is worth another try.
func (d *download) broken(err error) error {
	return &Error{Op: "read", Name: d.path, Reason: ErrUnreachable, Err: err, Temporary: true}
}

// transfer opens the file once and takes what comes. It returns nil only if
// all is there and the server confirmed the end.
func (d *download) transfer(ctx context.Context) error {
	from := int64(0)
	if !d.whole {
		from = max(0, d.part.size-overlap)
	}
	// Whatever ends this function ends the transfer at once.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := d.src.Open(ctx, d.path, from)
	if err != nil {
		// The source has tried again by itself; here that is the end of it.
		if e, ok := errors.AsType[*Error](err); ok && e.Temporary {
			final := *e
			final.Temporary = false
			return &final
		}
		return err
	}
	if err := d.take(r, from); err != nil {
		_ = r.Close()
		return err
	}
	if err := r.Close(); err != nil {
		return d.broken(fmt.Errorf("%w: %w", errUnconfirmed, err))
	}
	return nil
}

// take compares what is known and writes what is new.
func (d *download) take(r io.Reader, from int64) error {
	buf := make([]byte, chunk)
	if err := d.compare(r, from, buf); err != nil {
		return err
	}
	for {
		n, err := r.Read(buf)
		if int64(n) > d.base.Size-d.part.size {
			return d.again(from, fmt.Errorf("more bytes than the %d that the server told", d.base.Size))
		}
		if n > 0 {
			if _, err := d.part.Write(buf[:n]); err != nil {
				return err
			}
			d.progress()
			if d.part.size-d.saved >= checkpoint {
				if err := d.save(); err != nil {
					return err
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF) && d.part.size < d.base.Size:
			return d.broken(fmt.Errorf("ended after %d of %d bytes", d.part.size, d.base.Size))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && d.part.size == d.base.Size:
			return d.broken(fmt.Errorf("%w: %w", errUnconfirmed, err))
		case err != nil:
			return d.broken(err)
		}
	}
}

// compare reads the bytes from the offset on that are here already.
func (d *download) compare(r io.Reader, from int64, buf []byte) error {
	mine := make([]byte, overlap)
	for at := from; at < d.part.size; {
		n := int(min(int64(len(mine)), d.part.size-at))
		if _, err := d.part.f.ReadAt(mine[:n], at); err != nil {
			return err
		}
		got, err := io.ReadFull(r, buf[:n])
		if !bytes.Equal(mine[:got], buf[:got]) {
			return d.again(from, errors.New("what the server sends does not fit what is here"))
		}
		if err != nil {
			return d.broken(fmt.Errorf("ended after %d of %d bytes: %w", at+int64(got), d.base.Size, err))
		}
		at += int64(n)
	}
	return nil
}

// again gives up on resuming after bytes that do not fit. If they came for an
// offset, the server may have ignored it: the next transfer starts at 0 and
// is compared from there. If they came from 0, what is here is of no use.
func (d *download) again(from int64, why error) error {
	if from > 0 && !d.whole {
		d.whole = true
	} else {
		observe(d.a.Observe, Event{Kind: EventRestarted, Key: d.key, Path: d.path, Total: d.base.Size, Err: why})
		if err := d.part.restart(); err != nil {
			return err
		}
		d.beganAt, d.began = 0, clock(d.a.Now)
	}
	return d.broken(why)
}

func (d *download) save() error {
	if err := d.part.save(d.journal()); err != nil {
		return err
	}
	d.saved = d.part.size
	return nil
}

// progress is told at most four times a second, and at the end.
func (d *download) progress() {
	const often = 250 * time.Millisecond
	now := clock(d.a.Now)
	if d.part.size < d.base.Size && now.Sub(d.reported) < often {
		return
	}
	d.reported = now
	e := Event{Kind: EventProgress, Key: d.key, Path: d.path, Done: d.part.size, Total: d.base.Size}
	if spent := now.Sub(d.began).Seconds(); spent > 0 {
		if e.Rate = float64(d.part.size-d.beganAt) / spent; e.Rate > 0 {
			e.Left = time.Duration(float64(d.base.Size-d.part.size) / e.Rate * float64(time.Second))
		}
	}
	observe(d.a.Observe, e)
}
