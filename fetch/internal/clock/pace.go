package clock

import "time"

// pace is how many bytes a server must send in the time for which it may be silent.
// One that drips bytes would otherwise hold an operation for as long as it likes: a
// listing alone for years.
const pace = 16 << 10

// A Pace is how long a server may keep its reader waiting. Only the waiting counts: the
// reader itself may take its time. It is not safe for concurrent use.
type Pace struct {
	waited time.Duration
	got    int
}

// Left returns how long the next read may last, of the time that the server has for
// pace bytes.
func (p *Pace) Left(silence time.Duration) time.Duration { return silence - p.waited }

// Took counts a read that began at start and brought n bytes.
func (p *Pace) Took(start time.Time, n int) {
	p.waited += time.Since(start)
	if p.got += n; p.got >= pace {
		*p = Pace{}
	}
}
