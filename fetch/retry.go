package fetch

import "time"

// Retry says how often a temporary failure is retried. The zero value is 5
// attempts, with 1 s before the second, twice as long before each further one,
// up to 30 s, each made up to half shorter or longer at random.
type Retry struct {
	Attempts    int           // in total; 1 means no retry
	Interval    time.Duration // before the second attempt
	MaxInterval time.Duration // between any two
}
