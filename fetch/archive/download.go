package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

const (
	// overlap is how many bytes of a partial file are requested again when a download
	// is resumed, and compared: this detects a server that ignores REST or has
	// another file by now.
	overlap = 64 << 10
	// checkpoint is how many bytes a power cut may cost.
	checkpoint = 64 << 20
)

// A remote is one file to download. Part.Path is its place below the payload,
// "" for the payload itself.
type remote struct {
	fetch.Part
	from string // on the server
}

// currentFiles returns the files that belong to a file of a release, with the
// sizes and times that the server has now.
func currentFiles(ctx context.Context, src fetch.Source, file fetch.File) ([]remote, error) {
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

// A download brings one variant, in as many transfers as necessary.
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
	// unconfirmed is set if all bytes of a file came, twice compared at the
	// end, and the server never confirmed the end: some firewalls forget the
	// control connection during a long transfer. That is good enough only if
	// the hash is known.
	unconfirmed error

	total, before int64 // bytes of all files, and of those that are done
	began         time.Time
	beganAt       int64 // bytes that were there then
	reported      time.Time
}

// run downloads until as many bytes of each file are there as the server
// reported, the end of each transfer was confirmed (or see unconfirmed), and all
// sizes and times are still the same. It returns the files with their hashes.
func (d *download) run(ctx context.Context) ([]fetch.Part, error) {
	have := int64(0)
	for _, w := range d.want {
		d.total += w.Size
		have += d.st.allocated(w.Path, w.Size)
	}
	if err := d.a.checkSpace(d.total - have); err != nil {
		return nil, err
	}
	d.pipe = newPipe(d.total)
	if d.a.Rate > 0 {
		d.limit = newLimiter(d.a.Rate)
	}
	d.began = clock.Now(d.a.now)
	var done []fetch.Part
	for _, w := range d.want {
		sum, err := d.one(ctx, w)
		if err != nil {
			return nil, err
		}
		d.before += w.Size
		done = append(done, fetch.Part{Path: w.Path, Size: w.Size, Time: w.Time, SHA256: sum})
	}
	if len(d.want) > 1 { // the first ones may have changed while the last one was downloaded
		if err := d.checkUnchanged(ctx); err != nil {
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
	d.beganAt += part.size
	if part.size > 0 {
		d.a.observe(Event{Kind: EventResumed, Key: d.key, Path: w.from, Done: d.before + part.size, Total: d.total})
	}
	if part.confirmed && len(d.want) > 1 {
		return part.sum(), nil // an earlier run has all of it; checkUnchanged follows
	}
	f := &fileDownload{download: d, file: w, part: part}
	if err := f.run(ctx); err != nil {
		return "", err
	}
	return part.sum(), nil
}

func (d *download) checkpoint() int64 { return cmp.Or(d.a.checkpoint, checkpoint) }

// checkUnchanged compares the sizes and times with those on the server.
func (d *download) checkUnchanged(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now, err := currentFiles(ctx, d.src, d.file)
	switch {
	case errors.Is(err, fetch.ErrNotFound):
		return changed(d.file.Path, errors.New("the file was removed"))
	case err != nil:
		return err
	}
	same := func(a, b remote) bool { return a.from == b.from && a.Size == b.Size && a.Time.Equal(b.Time) }
	if slices.EqualFunc(d.want, now, same) {
		return nil
	}
	if d.file.Parts != nil {
		return changed(d.file.Path, errors.New("its files are not those that were there when the download began"))
	}
	was := d.want[0]
	return changed(d.file.Path, fmt.Errorf("%d bytes of %s before, %d bytes of %s now", was.Size, formatTime(was.Time), now[0].Size, formatTime(now[0].Time)))
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return "unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// progress reports how far the download is, at most four times a second and at
// the end. size is that of the current file.
func (d *download) progress(size int64) {
	const interval = 250 * time.Millisecond
	now, done := clock.Now(d.a.now), d.before+size
	if done < d.total && now.Sub(d.reported) < interval {
		return
	}
	d.reported = now
	e := Event{Kind: EventProgress, Key: d.key, Path: d.file.Path, Done: done, Total: d.total}
	if spent := now.Sub(d.began).Seconds(); spent > 0 {
		e.Rate = float64(done-d.beganAt) / spent
	}
	d.a.observe(e)
}
