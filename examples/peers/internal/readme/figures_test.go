package readme

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, Median([]float64{9, 1, 2}))
	require.Equal(t, 1.5, Median([]float64{9, 1, 2, 0}))
}
