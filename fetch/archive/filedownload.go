package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/retry"
)

// A fileDownload is the download of one file.
type fileDownload struct {
	*download
	file      remote
	part      *partial
	fromStart bool  // the server does not resume: each transfer starts at 0
	offset    int64 // where the current transfer started
}

// run makes transfers until one has succeeded or another one would not help.
func (f *fileDownload) run(ctx context.Context) error {
	attempts := retry.Start(retry.Policy(f.a.Retry))
	longest, unconfirmed := f.part.size, 0
	for {
		err := f.transfer(ctx)
		f.part.confirmed = err == nil
		if rerr := f.record(err != nil); rerr != nil {
			return rerr
		}
		final, err := f.judge(ctx, err)
		if final {
			return err
		}
		if errors.Is(err, errUnconfirmed) {
			if unconfirmed++; unconfirmed == 2 {
				f.unconfirmed = err
				return nil // the verifier decides
			}
		}
		if f.part.size > longest { // only attempts without progress count
			longest = f.part.size
			attempts.Reset()
		}
		wait, again := attempts.Next()
		if !again {
			return err
		}
		f.a.observe(Event{Kind: eventRetry, Key: f.key, Path: f.file.from, Done: f.before + f.part.size, Total: f.total, Attempt: attempts.Made, Wait: wait, Err: err})
		if err := clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// judge returns what the result of a transfer means, and whether it is final.
// Where the file could have changed on the server, it checks that too.
func (f *fileDownload) judge(ctx context.Context, err error) (final bool, _ error) {
	if over, ok := errors.AsType[gaveUp](err); ok {
		return true, over.error
	}
	if err != nil && !temporary(err) && !refusal(err) {
		return true, err
	}
	if err != nil || len(f.want) == 1 {
		if cerr := f.checkUnchanged(ctx); cerr != nil {
			return true, cerr
		}
	}
	return err == nil || !temporary(err), err
}

var errUnconfirmed = errors.New("the server did not confirm the end of the transfer")

// gaveUp is something temporary for which the source has used up its own
// attempts.
type gaveUp struct{ error }

// temporary reports whether another attempt may help.
func temporary(err error) bool {
	e, ok := errors.AsType[*fetch.Error](err)
	return ok && e.Temporary
}

// refusal reports whether the server refused the file, or an offset in it. That
// may mean that the file has changed.
func refusal(err error) bool {
	e, ok := errors.AsType[*fetch.Error](err)
	return ok && e.Code != 0 && !errors.Is(err, fetch.ErrCredentials) || errors.Is(err, fetch.ErrNotFound)
}

// interrupted is the error of a transfer after which another attempt may help.
func (f *fileDownload) interrupted(err error) error {
	return &fetch.Error{Op: "read", Subject: f.file.from, Err: fmt.Errorf("%w: %w", fetch.ErrUnreachable, err), Temporary: true}
}

// transfer opens the file once and receives what comes. It returns nil only if
// all is there and the server confirmed the end.
func (f *fileDownload) transfer(ctx context.Context) error {
	f.offset = 0
	if !f.fromStart {
		f.offset = max(0, f.part.size-overlap)
	}
	ctx, cancel := context.WithCancel(ctx) // the end of this function ends the transfer
	defer cancel()
	r, err := f.src.Open(ctx, f.file.from, f.offset)
	if err != nil {
		if f.offset > 0 && errors.Is(err, errors.ErrUnsupported) {
			f.fromStart = true
			return f.interrupted(err)
		}
		if temporary(err) {
			return gaveUp{err}
		}
		return err
	}
	if err := f.receive(ctx, cancel, r); err != nil {
		_ = r.Close()
		return err
	}
	if err := r.Close(); err != nil {
		return f.interrupted(fmt.Errorf("%w: %w", errUnconfirmed, err))
	}
	return nil
}

// receive compares what is here and writes what is new.
func (f *fileDownload) receive(ctx context.Context, cancel func(), r io.Reader) error {
	if f.limit != nil {
		r = &limitedReader{ctx, r, f.limit}
	}
	if err := f.compare(r); err != nil {
		return err
	}
	return f.pipe.run(ctx, cancel, r, f.write)
}

// compare compares the bytes from the offset on with those that are here.
func (f *fileDownload) compare(r io.Reader) error {
	mine, theirs := make([]byte, overlap), make([]byte, overlap)
	for at := f.offset; at < f.part.size; {
		n := int(min(int64(len(mine)), f.part.size-at))
		if _, err := f.part.f.ReadAt(mine[:n], at); err != nil {
			return err
		}
		got, err := io.ReadFull(r, theirs[:n])
		if !bytes.Equal(mine[:got], theirs[:got]) {
			return f.startOver(errors.New("the server sends other bytes than before"))
		}
		if err != nil {
			return f.interrupted(fmt.Errorf("ended after %d of %d bytes: %w", at+int64(got), f.file.Size, err))
		}
		at += int64(n)
	}
	return nil
}

// write adds the next bytes. err is what ended them, if anything did.
func (f *fileDownload) write(b []byte, err error) error {
	if int64(len(b)) > f.file.Size-f.part.size {
		return f.startOver(fmt.Errorf("more bytes than the %d that the server reported", f.file.Size))
	}
	if len(b) > 0 {
		if _, err := f.part.Write(b); err != nil {
			return err
		}
		f.unsaved += int64(len(b))
		f.progress(f.part.size)
		if f.unsaved >= f.checkpoint() {
			if err := f.record(true); err != nil {
				return err
			}
		}
	}
	switch {
	case errors.Is(err, io.EOF) && f.part.size < f.file.Size:
		return f.interrupted(fmt.Errorf("ended after %d of %d bytes", f.part.size, f.file.Size))
	case errors.Is(err, io.EOF), err == nil:
		return nil
	case f.part.size == f.file.Size:
		return f.interrupted(fmt.Errorf("%w: %w", errUnconfirmed, err))
	}
	return f.interrupted(err)
}

// startOver is called for bytes that do not match. If they came for an offset,
// the server may have ignored it: the next transfer starts at 0 and is compared
// from there. If they came from 0, what is here is useless.
func (f *fileDownload) startOver(cause error) error {
	if f.offset > 0 && !f.fromStart {
		f.fromStart = true
	} else {
		f.a.observe(Event{Kind: EventRestarted, Key: f.key, Path: f.file.from, Total: f.total, Err: cause})
		if err := f.part.restart(); err != nil {
			return err
		}
		f.beganAt, f.began = f.before, clock.Now(f.a.now)
	}
	return f.interrupted(cause)
}

// record makes what was written survive a power cut: at once, or when the
// journal is saved next.
func (f *fileDownload) record(now bool) error {
	if err := f.part.record(f.file.Size, f.file.Time); err != nil {
		return err
	}
	if !now && f.unsaved < f.checkpoint() {
		return nil
	}
	f.unsaved = 0
	return f.st.save()
}
