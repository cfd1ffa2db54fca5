package archive

// WithCheckpoint makes small files do for tests of what a crash costs.
func (a *Archive) WithCheckpoint(bytes int64) *Archive {
	with := *a
	with.checkpoint = bytes
	return &with
}

// TextOf returns the sentence of an event.
func TextOf(e Event) string { return e.text() }
