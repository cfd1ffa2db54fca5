package center_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// staged is a region of twelve sites in the middle of a rollout, two at a time: six have
// committed, two are updated until first is called, and two after them until second is.
func staged(t *testing.T) (r *region, first, second func()) {
	r = open(t, 12)
	first, second = r.hold(6, 8), r.hold(8, 10)
	r.ask(center.Command{Op: "start", Plan: r.plan(2, 5)})
	r.until("six are updated", func() bool { return r.committed.Load() == 6 && r.running.Load() == 2 })
	return r, first, second
}

// goOn has people decide and two more sites commit.
func (r *region) goOn(first func()) {
	for range 2 { // more than what a person does after the center was put back
		r.ask(center.Command{Op: "pause", Rollout: "май", Reason: "the support is ill"})
		r.ask(center.Command{Op: "resume", Rollout: "май", Reason: "it is well"})
	}
	first()
	r.until("eight are updated", func() bool { return r.committed.Load() == 8 && r.running.Load() == 2 })
}

func (r *region) kill() {
	r.coordinator.kill()
	r.server.kill()
}

func (r *region) begin() {
	r.server = start(r.t, "server", r.dir, r.port)
	r.coordinator = start(r.t, "coordinator", r.dir, r.login.URL)
}

// TestRestore backs a center up while it runs, and restores that on a new machine
// after more has happened: no site starts again, what was revoked is not in the
// fleet, and what was decided since waits for a person.
func TestRestore(t *testing.T) {
	r, first, second := staged(t)
	backup := filepath.Join(t.TempDir(), "backup")
	had, err := center.Backup(r.dir, backup)
	require.NoError(t, err)
	assert.Equal(t, 12, had.Sites)
	ticket := r.ask(center.Command{Op: "ticket", Site: "хутор", URL: r.login.URL}).Ticket
	gone := r.sites[11].id
	r.ask(center.Command{Op: "revoke", Site: gone, Reason: "stolen"})
	r.goOn(first)
	r.kill()
	require.NoError(t, os.RemoveAll(r.dir))

	_, _, err = center.Restore(backup, r.dir, nil)
	require.ErrorContains(t, err, "revoked after "+had.Ends.Format(time.RFC3339))
	require.NoDirExists(t, r.dir)
	got, unknown, err := center.Restore(backup, r.dir, []string{gone, "посёлок"})
	require.NoError(t, err)
	assert.Equal(t, had, got)
	assert.Equal(t, []string{"посёлок"}, unknown)
	r.begin()

	var again *rollout.Rollout
	r.until("the sites have reported", func() bool {
		again = r.ask(center.Command{Op: "status"}).Rollouts[0]
		c := again.Counts()
		return c[rollout.Committed] == 8 && c[rollout.Started] == 2
	})
	assert.Equal(t, rollout.Paused, again.Phase)
	assert.Contains(t, again.Reason, "restored from a backup that ends at "+had.Ends.Format(time.RFC3339))
	refused(t, r.members[11].Login)
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	_, err = center.Join(t.Context(), *ticket, key)
	require.ErrorContains(t, err, "the ticket is unknown")
	assert.Len(t, r.ask(center.Command{Op: "sites"}).Sites, 11)
	for _, site := range []string{gone, "посёлок"} {
		_, err = center.Ask(t.Context(), r.login, center.Command{Op: "ticket", Site: site, URL: r.login.URL})
		require.ErrorContains(t, err, "enroll it under another id")
	}

	r.ask(center.Command{Op: "resume", Rollout: "май", Reason: "all sites have reported"})
	second()
	r.until("all have committed", func() bool { return r.committed.Load() == 11 })
	assert.Zero(t, r.twice.Load())
	assert.LessOrEqual(t, r.peak.Load(), int64(2))
	assert.Zero(t, r.sites[11].starts)
}

// TestPutBackToAnEarlierTime has what a snapshot of the machine does, and an old copy
// of the store beside the log of today: a person is asked, and no site starts again.
func TestPutBackToAnEarlierTime(t *testing.T) {
	for what, why := range map[string]string{".": "was put back to an earlier time", "store": "the store does not have it"} {
		t.Run(what, func(t *testing.T) {
			r, first, second := staged(t)
			r.kill()
			earlier := filepath.Join(t.TempDir(), "earlier")
			require.NoError(t, os.CopyFS(earlier, os.DirFS(filepath.Join(r.dir, what))))
			r.begin()
			r.goOn(first)
			r.kill()
			require.NoError(t, os.RemoveAll(filepath.Join(r.dir, what)))
			require.NoError(t, os.CopyFS(filepath.Join(r.dir, what), os.DirFS(earlier)))
			require.NoError(t, os.Chmod(filepath.Join(r.dir, "identity.json"), 0o600))
			r.begin()

			var again *rollout.Rollout
			r.until("it is paused, and the sites have reported", func() bool {
				again = r.ask(center.Command{Op: "status"}).Rollouts[0]
				return again.Phase == rollout.Paused && again.Counts()[rollout.Committed] >= 8
			})
			assert.Contains(t, again.Reason, why)
			r.ask(center.Command{Op: "resume", Rollout: "май", Reason: "all sites have reported"})
			second()
			r.until("all have committed", func() bool { return r.committed.Load() == 12 })
			assert.Zero(t, r.twice.Load())
		})
	}
}

// TestRestoreTakesKeysAndLogAlone restores from a copy of the whole directory, and
// from what cannot be trusted.
func TestRestoreTakesKeysAndLogAlone(t *testing.T) {
	root := t.TempDir()
	dir, to := filepath.Join(root, "center"), filepath.Join(root, "new")
	require.NoError(t, center.Create(dir, "127.0.0.1"))
	identity, err := center.Open(dir)
	require.NoError(t, err)
	unused, err := identity.Ticket("город", "")
	require.NoError(t, err)
	enroll(t, identity, "село")
	require.NoError(t, identity.Close())
	require.NoError(t, os.Mkdir(filepath.Join(dir, "store"), 0o700))
	log := filepath.Join(dir, "log.jsonl")
	whole, err := os.ReadFile(log)
	require.NoError(t, err)
	write := func(text string) { require.NoError(t, os.WriteFile(log, []byte(text), 0o600)) }

	write(string(whole) + `{"body":`) // the coordinator is writing
	c, _, err := center.Restore(dir, to, []string{})
	require.NoError(t, err)
	assert.Equal(t, 3, c.Entries)
	assert.Equal(t, 1, c.Sites)
	found, err := os.ReadDir(to)
	require.NoError(t, err)
	require.Len(t, found, 2)
	_, _, err = center.Restore(dir, to, []string{})
	require.ErrorIs(t, err, os.ErrExist)
	restored, err := center.Open(to)
	require.NoError(t, err)
	assert.Equal(t, []string{"село"}, restored.Sites())
	_, err = restored.Enroll("город", ticketKey(t, unused), ticketKey(t, unused))
	require.ErrorContains(t, err, "the ticket is unknown")
	require.NoError(t, restored.Close())

	lines := strings.SplitAfter(string(whole), "\n")
	other := filepath.Join(root, "other")
	write(lines[0] + lines[2])
	_, err = center.Backup(dir, other)
	require.ErrorContains(t, err, "is damaged at line 2")
	write(string(whole))
	synctest.Test(t, func(t *testing.T) { // whose clock is at 2000-01-01
		_, _, err = center.Restore(dir, other, []string{})
		require.ErrorContains(t, err, "set the clock")
	})
	require.NoDirExists(t, other)
}
