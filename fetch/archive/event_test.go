package archive_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/version"
)

func TestEventIsOneLine(t *testing.T) {
	key := archive.Key{Distribution: "АСП", Version: version.MustParse("7.13.100"), Variant: version.Setup}
	item := archive.Item{Key: key, Vouched: archive.Vouched{By: "a hash", Authenticated: true}}
	broken := errors.New("the line broke")
	for want, e := range map[string]archive.Event{
		"attempt 2 failed, the next one follows in 4s: the line broke": {Kind: "retry", Attempt: 2, Wait: 4*time.Second + 1, Err: broken},
		"/АСП/7.13.100/Setup: resumed at 30 MB":                        {Kind: archive.EventResumed, Key: key, Done: 30_030_000},
		"/АСП/7.13.100/Setup: restarted: the line broke":               {Kind: archive.EventRestarted, Key: key, Err: broken},
		"/АСП/7.13.100/Setup: 30 of 90 MB":                             {Kind: archive.EventProgress, Key: key, Done: 30_030_000, Total: 90e6},
		"/АСП/7.13.100/Setup: 30 of 90 MB, 3.0 MB/s, 20s left":         {Kind: archive.EventProgress, Key: key, Done: 30_030_000, Total: 90e6, Rate: 3e6},
		"/АСП/7.13.100/Setup: 0 of 90 MB":                              {Kind: archive.EventProgress, Key: key, Done: 1, Total: 90e6, Rate: 1e-3},
		"/АСП/7.13.100/Setup: 90 of 90 MB":                             {Kind: archive.EventProgress, Key: key, Done: 90e6, Total: 90e6, Rate: 3e6},
		"archived /АСП/7.13.100/Setup, vouched for: a hash":            {Kind: archive.EventArchived, Item: item},
		"reused /АСП/7.13.100/Setup, vouched for: a hash":              {Kind: archive.EventReused, Item: item},
		"a damaged file was moved to /srv/x: the line broke":           {Kind: "damaged", Path: "/srv/x", Err: broken},
		"removed: /srv/x": {Kind: archive.EventPruned, Path: "/srv/x"},
		"new":             {Kind: "new"},
	} {
		require.Equal(t, want, archive.TextOf(e))
	}
}
