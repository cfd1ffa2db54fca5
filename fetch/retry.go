package fetch

import "time"

// Retry says how often and how soon something temporary is tried again. The
// zero value is 5 tries, the first wait 1 s, doubled each time up to 30 s,
// each made up to half shorter or longer at random.
type Retry struct {
	Tries int           // all attempts together; 1 means no second one
	First time.Duration // the first wait
	Max   time.Duration // the longest wait
}
