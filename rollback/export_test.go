package rollback

// Rotate rotates the journal whatever its size.
func (j *Journal) Rotate() error { return j.rotate() }

// Replay returns what records say.
func Replay(recs []Record) Status { return replay(recs) }
