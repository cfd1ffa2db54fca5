package progress

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMeter(t *testing.T) {
	at := time.Date(2026, 1, 12, 4, 0, 0, 0, time.UTC)
	var got []Point
	m := New(1000, func() time.Time { return at }, func(p Point) { got = append(got, p) })
	for _, ms := range []int{0, 999, 1, 500, 500, 8000} {
		at = at.Add(time.Duration(ms) * time.Millisecond)
		n, err := m.Write(make([]byte, 100))
		require.NoError(t, err)
		require.Equal(t, 100, n)
	}
	require.Len(t, got, 3)
	require.Equal(t, Point{Done: 300, Total: 1000, Rate: 300, Left: 700 * time.Second / 300, At: at.Add(-9 * time.Second)}, got[0])
	require.Equal(t, int64(500), got[1].Done)
	require.Equal(t, Point{Done: 600, Total: 1000, Rate: 60, Left: 400 * time.Second / 60, At: at}, got[2])

	at = at.Add(-time.Hour) // a clock that was set back tells nothing, and breaks nothing
	m.Add(1)
	require.Len(t, got, 3)
	var none *Meter
	none.Add(1)
	unknown := New(0, func() time.Time { at = at.Add(time.Second); return at }, func(p Point) { got = append(got, p) })
	unknown.Add(5)
	require.Equal(t, Point{Done: 5, Rate: 5, At: at}, got[3])
}
