package https

import "time"

// Quick makes retries quick.
func (s *Source) Quick() *Source {
	s.interval = time.Millisecond
	return s
}
