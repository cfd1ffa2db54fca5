package schedule

import mathbits "math/bits"

// bits is a set of days, one bit a day, so that a run of days off is skipped in
// one step and the days of a year are counted in six.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }
func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) clear(i int)    { b[i/64] &^= 1 << (i % 64) }

// next returns the first member that is i or more, and -1 if there is none. The
// index must not be negative.
func (b bits) next(i int) int {
	w := i / 64
	if w >= len(b) {
		return -1
	}
	if rest := b[w] >> (i % 64); rest != 0 {
		return i + mathbits.TrailingZeros64(rest)
	}
	for w++; w < len(b); w++ {
		if b[w] != 0 {
			return w*64 + mathbits.TrailingZeros64(b[w])
		}
	}
	return -1
}

// count returns the number of members in [from, to).
func (b bits) count(from, to int) int { return b.countBoth(b, from, to) }

// countBoth returns the number of members in [from, to) that c has as well.
func (b bits) countBoth(c bits, from, to int) int {
	if from >= to {
		return 0
	}
	n := 0
	for w := from / 64; w*64 < to; w++ {
		word := b[w] & c[w]
		if low := from - w*64; low > 0 {
			word &= ^uint64(0) << low
		}
		if high := to - w*64; high < 64 {
			word &= 1<<high - 1
		}
		n += mathbits.OnesCount64(word)
	}
	return n
}
