package rollback_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// Recovery is started again and again, as a service manager does, and each time the
// same call fails, or the machine goes down in it. That always comes to an end that is
// told, with a way out, or the machine is in order; and once the cause is gone the way
// out leads there.
func TestFieldLoopOfRecoveriesEnds(t *testing.T) {
	calls := []string{
		"fence.close", "app.stop", "snapshot ASP", "verify ASP", "restore ASP", "install ASP " + oldVersion,
		"app.start", "settle ASP", "fence.open", "await " + oldVersion,
	}
	for _, at := range []string{"install ASP " + newVersion, "install ASP " + newVersion + " half", "install ASP " + newVersion + " after", "app.start after"} {
		for _, call := range calls {
			for _, dies := range []bool{false, true} {
				w := newWorld(t, "ASP")
				w.crashingAt(at)
				require.True(t, crashing(func() { _, _ = w.run(t) }))
				w.fault = func(name string) error {
					switch {
					case !strings.HasPrefix(name, call):
						return nil
					case dies:
						panic(crash{})
					}
					return errors.New("it does not work")
				}
				what := at + ", then " + call
				var last error
				for range 6 {
					crashing(func() { _, last = w.update().Recover(t.Context()) })
				}
				p := w.status(t).Pending
				switch {
				case p == nil:
					w.consistent(t)
					require.False(t, w.fenced(), what)
					continue
				case p.Outcome == "":
					// Nothing was tried: what is left running, or the fence, cannot be looked at.
					require.Contains(t, []string{"fence.close", "settle ASP"}, call, "%s: %v", what, last)
					if !dies {
						requireNext(t, last)
					}
				case p.Outcome == rollback.NeedsOperator:
					requireNext(t, last)
					requireNext(t, w.status(t).Blocked())
				default: // users are let in as soon as that works
					require.Equal(t, "fence.open", call, what)
				}
				w.intact(t)
				w.fault = nil
				res, err := w.update().Recover(t.Context())
				if errors.Is(err, rollback.ErrNeedsOperator) {
					res, err = w.update().Retry(t.Context(), "the cause is repaired")
				}
				require.NoError(t, err, what)
				require.NotEqual(t, rollback.Nothing, res.Outcome)
				w.consistent(t)
				require.False(t, w.fenced(), what)
			}
		}
	}
}

// A restart opened the fence, and the state's volume is full when a person decides:
// the error says that users are out, so they are.
func TestFieldDecisionThatCannotBeRecordedKeepsUsersOut(t *testing.T) {
	for name, decide := range map[string]func(u *rollback.Update) (rollback.Result, error){
		"retry":  func(u *rollback.Update) (rollback.Result, error) { return u.Retry(t.Context(), "repaired") },
		"accept": func(u *rollback.Update) (rollback.Result, error) { return u.Accept(t.Context(), "repaired", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := stuckWorld(t)
			w.enter(t, oldVersion, oldRows)
			w.write(t, "app.ASP", oldVersion)
			require.NoError(t, errors.Join(w.put("running", "yes"), w.put("fence", "")))
			left := map[string]int{"accept": 2}[name] // that its installer has settled
			u := w.update().TuneFull(func() error {
				if left--; left >= 0 {
					return nil
				}
				return errors.New("no space left on device")
			})
			res, err := decide(u)
			require.Equal(t, rollback.Interrupted, res.Outcome)
			require.ErrorContains(t, err, "users are kept out")
			require.True(t, w.fenced())
			require.NotNil(t, w.status(t).Pending)
		})
	}
}

// requireNext fails unless the error says what to do.
func requireNext(t *testing.T, err error) {
	t.Helper()
	require.Regexp(t, "recover to go on|retry|accept", err)
}

// The support installed by hand a part that a first installation had not come to. A
// retry removes that as well.
func TestFieldRetryRemovesWhatWasInstalledByHand(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	u := firstInstallation(t, w)
	w.write(t, "app.Опека", "")
	w.write(t, "data.Опека", "")
	u.Parts[1].From, u.Parts[1].Installer = rollback.Release{}, remover{installer{w, "Опека"}}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	for _, part := range w.parts {
		w.write(t, "app."+part, newVersion)
		w.write(t, "data."+part, "schema "+newVersion+"\n")
	}
	res, err := u.Retry(t.Context(), "it did not help")
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	for _, part := range w.parts {
		require.Empty(t, w.read("app."+part))
	}
}
