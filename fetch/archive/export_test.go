package archive

import (
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// WithClock makes it read another clock.
func (a *Archive) WithClock(now func() time.Time) *Archive {
	a.now = now
	return a
}

// WithCheckpoint makes small files do for tests of what a crash costs.
func (a *Archive) WithCheckpoint(bytes int64) *Archive {
	with := *a
	with.checkpoint = bytes
	return &with
}

// WithPatience makes a share that hangs end a test soon.
func (a *Archive) WithPatience(d time.Duration) *Archive {
	with := *a
	with.patience = d
	return &with
}

// TextOf returns the sentence of an event.
func TextOf(e Event) string { return e.text() }

// The parts of WithServerHash.
func Sidecar(src fetch.Source) Verifier    { return sidecar(src, -1) }
func RemoteHash(src fetch.Source) Verifier { return remoteHash{src} }
