package process

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// A job object that exists before its tree starts is another's.
func TestJobsOfOthersAreNotUsed(t *testing.T) {
	rec := NewRecord()
	name, err := jobName(rec.mark())
	require.NoError(t, err)
	squatted, err := windows.CreateJobObject(nil, name)
	require.NoError(t, err)
	_, err = makeJob(rec.mark())
	require.ErrorContains(t, err, "which is another's")
	require.NoError(t, windows.CloseHandle(squatted))

	job, err := makeJob(rec.mark())
	require.NoError(t, err)
	ours, err := madeByUs(job)
	require.NoError(t, err)
	require.True(t, ours)
	found, err := openJob(rec.mark())
	require.NoError(t, err)
	require.NotZero(t, found)
	require.NoError(t, windows.CloseHandle(found))
	require.NoError(t, windows.CloseHandle(job))
	found, err = openJob(rec.mark())
	require.NoError(t, err)
	require.Zero(t, found, "nothing of it is left")
}
