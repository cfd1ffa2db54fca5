package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
)

// Soak is a site to which something happens in each of so many updates, at a random moment: the updater
// is killed, the application ends, a database is locked; one release of three cannot be restructured. It returns
// nil only if every time each database was either what it was or what the release makes of it, all of the same
// version, no acknowledged write was lost, and never a user was in, and nothing was committed, while one
// differed. It counts in ends what has happened, and how it ended.
func (a ASP) Soak(ctx context.Context, out io.Writer, rnd *rand.Rand, actions int, ends map[string]int) (err error) {
	s, err := a.setUp(ctx, out)
	if err != nil {
		return err
	}
	k := &soak{aspShow: s, rnd: rnd, ends: ends, installed: "7.12.100"}
	defer func() { err = errors.Join(err, s.tearDown(a.Keep)) }()
	// One to which nothing happens shows how long an update takes.
	begun := time.Now()
	if err := k.undisturbed(ctx); err != nil {
		return err
	}
	k.length = time.Since(begun)
	s.say("   an update takes %s", k.length.Round(time.Millisecond))
	for i := range actions {
		if err := k.turn(ctx); err != nil {
			return fmt.Errorf("action %d, %s: %w", i+1, k.struck, err)
		}
	}
	s.user.leave()
	_, _, _, err = s.seen()
	return err
}

// A soak is what Soak does to a site.
type soak struct {
	*aspShow
	rnd       *rand.Rand
	ends      map[string]int
	serial    int
	installed string
	length    time.Duration // of an update
	struck    string        // what has happened in this turn
}

// A strike happens to an update, or to its application.
type strike struct {
	name string
	do   func(k *soak, ctx context.Context, u updater) error
}

var strikes = []strike{
	{"kill -9", func(_ *soak, _ context.Context, u updater) error { return gone(u.Process.Kill()) }},
	{"Ctrl-C", func(_ *soak, _ context.Context, u updater) error { return gone(u.Process.Signal(os.Interrupt)) }},
	{"the application ends", func(k *soak, ctx context.Context, _ updater) error { return k.endApplication(ctx) }},
	{"the application ends, and kill -9", func(k *soak, ctx context.Context, u updater) error {
		return errors.Join(k.endApplication(ctx), gone(u.Process.Kill()))
	}},
	{"a database is locked", func(k *soak, ctx context.Context, _ updater) error { return k.lock(ctx) }},
}

// gone is no error of a process that has ended by itself.
func gone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// endApplication ends the application if it runs. What it has begun comes to its end.
func (k *soak) endApplication(ctx context.Context) error {
	if err := k.site.post(ctx, "/quit"); err != nil && k.site.answers(ctx) {
		return err
	}
	return nil
}

// lock locks one database for a second, as an administrator's tool does, unless it is in use.
func (k *soak) lock(ctx context.Context) error {
	return k.onBase(k.rnd.IntN(len(k.Names)), func(db *sql.DB) error {
		db.SetMaxOpenConns(1)
		if _, err := db.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return nil //nolint:nilerr // it is in use
		}
		time.Sleep(time.Second)
		_, err := db.ExecContext(ctx, "ROLLBACK")
		return err
	})
}

// release publishes the next release, which restructures each database by a table of its own.
func (k *soak) release(good bool) (version string, err error) {
	k.serial++
	version = fmt.Sprintf("7.13.%03d", k.serial)
	c := change{Version: version, Pause: 100 * time.Millisecond, Statements: []string{fmt.Sprintf("CREATE TABLE release_%d AS SELECT id FROM entry", k.serial)}}
	for range 4 {
		c.Slow = append(c.Slow, k.Names[k.rnd.IntN(len(k.Names))])
	}
	if !good {
		c.Statements = append(c.Statements, "CREATE UNIQUE INDEX one_text ON entry (text)") // one database has a text twice
	}
	return version, k.publish(c)
}

func (k *soak) undisturbed(ctx context.Context) error {
	version, err := k.release(true)
	if err != nil {
		return err
	}
	if err := k.expect(k.aspupdate(ctx, "update"), 0); err != nil {
		return err
	}
	k.installed = version
	return k.verify(ctx, version)
}

// turn is one update to which something happens, and what a person does about it.
func (k *soak) turn(ctx context.Context) error {
	const limit = 10 * time.Minute // it only ends one that hangs
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	acked := k.user.count()
	before, err := k.contents(acked)
	if err != nil {
		return err
	}
	good := k.rnd.IntN(3) > 0
	version, err := k.release(good)
	if err != nil {
		return err
	}
	what := strikes[k.rnd.IntN(len(strikes))]
	if err := k.strike(ctx, what, k.length, "update"); err != nil {
		return err
	}
	if k.rnd.IntN(2) == 0 {
		if err := k.strike(ctx, strikes[0], k.length/2, "recover"); err != nil {
			return err
		}
	}
	if err := k.settle(ctx); err != nil {
		return err
	}
	return k.check(ctx, version, good, before, acked)
}

// strike runs a command, to which something happens after a part of a time, and waits for its end.
func (k *soak) strike(ctx context.Context, what strike, within time.Duration, command string) error {
	at := time.Duration(k.rnd.Int64N(int64(within)))
	k.struck = fmt.Sprintf("%s after %s of %s", what.name, at.Round(time.Millisecond), command)
	k.say("   %s", k.struck)
	u := updater{k.aspupdate(ctx, command), make(chan error, 1)}
	if err := u.Start(); err != nil {
		return err
	}
	go func() { u.ended <- u.Wait() }()
	select {
	case err := <-u.ended:
		u.ended <- err
		k.ends["the command had ended"]++
	case <-time.After(at):
		k.ends[what.name]++
		if err := what.do(k, ctx, u); err != nil {
			return errors.Join(err, gone(u.Process.Kill()), <-u.ended)
		}
	}
	<-u.ended //nolint:errcheck // status has it
	return nil
}

// settle is a person who recovers until nothing is pending, and starts an application that has ended
// while no update was in progress.
func (k *soak) settle(ctx context.Context) error {
	for try := 1; ; try++ {
		args := []string{}
		if try > 3 {
			args = []string{"--retry", "the soak"}
			k.ends["needs a person"]++
		}
		_ = k.aspupdate(ctx, "recover", args...).Run() // status has it
		st, err := rollback.ReadStatus(k.state)
		switch {
		case err != nil:
			return err
		case st.Pending == nil && !k.site.answers(ctx):
			return k.site.start(ctx)
		case st.Pending == nil:
			return nil
		case try == 5:
			return fmt.Errorf("update %s is still pending: %s", st.Pending.Update, st.Pending.Outcome)
		}
	}
}

// check compares everything.
func (k *soak) check(ctx context.Context, version string, good bool, before []string, acked int) error {
	st, err := rollback.ReadStatus(k.state)
	if err != nil {
		return err
	}
	now := string(st.Committed[distribution].Version)
	switch {
	case now == k.installed:
		k.ends["old"]++
	case now == version && good:
		k.ends["new"]++
	default:
		return fmt.Errorf("version %s is committed, from %s to %s, which is a good one: %v", now, k.installed, version, good)
	}
	if err := k.verify(ctx, now); err != nil {
		return err
	}
	after, err := k.contents(acked)
	if err != nil {
		return err
	}
	for i := range before {
		if (after[i] == before[i]) != (now == k.installed) {
			return fmt.Errorf("%s is not what it must be at version %s: %q before, %q now", k.Names[i], now, before[i], after[i])
		}
	}
	k.installed = now
	return nil
}
