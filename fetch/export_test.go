package fetch

// WithCheckpoint makes small files do for tests of what a crash costs.
func (a Archive) WithCheckpoint(bytes int64) Archive {
	a.checkpoint = bytes
	return a
}
