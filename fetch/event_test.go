package fetch_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/version"
)

func TestEventIsOneLine(t *testing.T) {
	key := fetch.Key{Distribution: "АСП", Version: version.MustParse("7.13.100"), Variant: version.Setup}
	item := fetch.Item{Key: key, Vouched: fetch.Vouched{By: "a hash", Authenticated: true}}
	broken := errors.New("the line broke")
	for want, e := range map[string]fetch.Event{
		"passed over: readme: not named like a release":             {Kind: fetch.EventSkipped, Skipped: fetch.Skipped{Path: "readme", Why: fetch.SkipName}},
		"try 2 failed, next in 4s: the line broke":                  {Kind: fetch.EventRetry, Try: 2, Wait: 4*time.Second + 1, Err: broken},
		"/АСП/7.13.100/Setup: going on at 30 MB":                    {Kind: fetch.EventResumed, Key: key, Done: 30 << 20},
		"/АСП/7.13.100/Setup: from the start again: the line broke": {Kind: fetch.EventRestarted, Key: key, Err: broken},
		"/АСП/7.13.100/Setup: 30 of 90 MB":                          {Kind: fetch.EventProgress, Key: key, Done: 30 << 20, Total: 90 << 20},
		"/АСП/7.13.100/Setup: 30 of 90 MB, 3.0 MB/s, 20s left":      {Kind: fetch.EventProgress, Key: key, Done: 30 << 20, Total: 90 << 20, Rate: 3 << 20, Left: 20 * time.Second},
		"archived /АСП/7.13.100/Setup, vouched for: a hash":         {Kind: fetch.EventArchived, Item: item},
		"reused /АСП/7.13.100/Setup, vouched for: a hash":           {Kind: fetch.EventReused, Item: item},
		"a damaged file was moved aside: /srv/x: the line broke":    {Kind: fetch.EventDamaged, Path: "/srv/x", Err: broken},
		"removed: /srv/x":         {Kind: fetch.EventPruned, Path: "/srv/x"},
		"the line broke":          {Kind: fetch.EventLookFailed, Err: broken},
		"looking goes well again": {Kind: fetch.EventLookRecovered},
		"new":                     {Kind: "new"},
	} {
		require.Equal(t, want, e.String())
	}
}
