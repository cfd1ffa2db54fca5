package backup

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorSaysWhatToDoNextOnce(t *testing.T) {
	cause := errors.New("the disk is full")
	for _, c := range []struct {
		err  error
		want string
	}{
		{wrap("take", "20260112", cause), "take 20260112: the disk is full"},
		{wrap("list", "", cause), "list: the disk is full"},
		{wrap("take", "20260112", advise(cause, "free some space")), "take 20260112: the disk is full; free some space"},
		{wrap("take", "20260112", &Error{Op: "back up", Subject: "/app", Err: fmt.Errorf("tar: %w", advise(cause, "free some space"))}),
			"take 20260112: back up /app: tar: the disk is full; free some space"},
		{wrap("take", "20260112", errors.Join(&Error{Op: "back up", Subject: "/app", Err: advise(cause, "free some space")}, nil)),
			"take 20260112: back up /app: the disk is full; free some space"},
	} {
		require.EqualError(t, c.err, c.want)
		require.ErrorIs(t, c.err, cause)
		var e *Error
		require.ErrorAs(t, c.err, &e)
		require.Contains(t, []string{"take", "list"}, e.Op)
		require.Equal(t, e.Op == "take" && c.want[len(c.want)-5:] == "space", e.Next == "free some space")
	}
	require.NoError(t, wrap("take", "20260112", nil))
}
