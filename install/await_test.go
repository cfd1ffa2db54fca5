package install

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// phases is an application whose answers change as time goes by.
type phases struct {
	begun time.Time
	list  []phase
	asked int
}

type phase struct {
	until   time.Duration
	version string
	err     error
}

func (p *phases) Version(ctx context.Context) (string, error) {
	p.asked++
	for _, ph := range p.list {
		if time.Since(p.begun) < ph.until {
			if ph.version == "hang" {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return ph.version, ph.err
		}
	}
	return "7.13.100", nil
}

var (
	errSystem = errors.New("system error")
	errLogin  = errors.New("login refused")
)

func TestR12PhasesAreProgressNotFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &phases{begun: time.Now(), list: []phase{
			{time.Minute, "7.12.100", nil}, {10 * time.Minute, "", errSystem}, {11 * time.Minute, "hang", nil}, {25 * time.Minute, "", errLogin},
		}}
		var texts []string
		err := Await(t.Context(), p, "7.13.100", AwaitOptions{Observe: func(e Event) {
			require.Equal(t, time.Since(p.begun), e.Elapsed)
			texts = append(texts, e.Text)
		}})
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(p.begun), 25*time.Minute)
		require.Less(t, time.Since(p.begun), 26*time.Minute)
		require.Equal(t, `restructuring, 0 min so far, usually at most 15 (version "7.12.100" answers)`, texts[0])
		require.Contains(t, texts, "restructuring, 7 min so far, usually at most 15 (system error)")
		require.Contains(t, texts, "restructuring, 20 min so far, longer than usual; very rarely it takes 1 to 2 hours (login refused)")
		require.Contains(t, texts[len(texts)-1], "version 7.13.100 is healthy after 25m")
		require.InDelta(t, 26, len(texts), 2, "about one a minute")
	})
}

func TestR11DefaultLimitIsAboveTheWorstCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &phases{begun: time.Now(), list: []phase{{2*time.Hour + 10*time.Minute, "", errSystem}}}
		require.NoError(t, Await(t.Context(), p, "7.13.100", AwaitOptions{}))
	})
}

func TestAwaitEndsAtItsDeadlineAndNamesBothVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &phases{begun: time.Now(), list: []phase{{time.Minute, "", errSystem}, {24 * time.Hour, "7.12.100", nil}}}
		err := Await(t.Context(), p, "7.13.100", AwaitOptions{Deadline: 10 * time.Minute, Interval: time.Second})
		require.ErrorIs(t, err, ErrTimeout)
		require.Equal(t, 10*time.Minute, time.Since(p.begun))
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.Equal(t, `version "7.13.100"`, e.Subject)
		require.Equal(t, "7.12.100", e.Got)
		require.EqualError(t, err, `await version "7.13.100": timed out: not healthy after 10m0s; the last answer: version "7.12.100" answers; `+nextBroken)
	})
}

func TestAwaitEndsWhenTheProbeFailsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := ProbeFunc(func(context.Context) (string, error) {
			return "", errors.Join(errors.New("license revoked"), ErrFailed)
		})
		begun := time.Now()
		err := Await(t.Context(), broken, "7.13.100", AwaitOptions{})
		require.ErrorIs(t, err, ErrFailed)
		require.ErrorContains(t, err, "license revoked")
		require.Zero(t, time.Since(begun))
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := &phases{begun: time.Now(), list: []phase{{time.Minute, "", errSystem}, {time.Hour, "hang", nil}}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		err := Await(ctx, hang, "7.13.100", AwaitOptions{timeout: time.Hour})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, ErrTimeout)
		require.ErrorContains(t, err, "system error")

		why := errors.New("the operator said so")
		ctx2, cancel2 := context.WithCancelCause(t.Context())
		cancel2(why)
		err = Await(ctx2, hang, "7.13.100", AwaitOptions{})
		require.ErrorIs(t, err, why)
		require.NotErrorIs(t, err, ErrTimeout)
	})
}

func TestAwaitNeedsAVersion(t *testing.T) {
	err := Await(t.Context(), ProbeFunc(func(context.Context) (string, error) { return "", nil }), "", AwaitOptions{})
	require.ErrorContains(t, err, "name the version")
}
