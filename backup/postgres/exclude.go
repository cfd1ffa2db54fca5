package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// exclude keeps other programs from the database: it takes a lock that the server
// frees if this process dies. Every role that can connect to the maintenance database could
// take it as well, and so keep users out for ever. A role that is not a
// superuser is therefore made to give it up.
func (s *session) exclude(ctx context.Context) error {
	var got bool
	if err := s.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockKey(s.name)).Scan(&got); err != nil || got {
		return err
	}
	// This session waits in the queue while another one ends those before it: who
	// comes later is behind.
	other, err := s.to(ctx, s.d.maintenance(), writing)
	if err != nil {
		return err
	}
	ectx, stop := context.WithCancel(ctx)
	var evicting sync.WaitGroup
	evicting.Go(func() {
		defer closeConn(other)
		for pause(ectx, 50*time.Millisecond) == nil {
			if s.evict(ectx, other) != nil {
				return // the wait for the lock ends, too, and says what is wrong
			}
		}
	})
	_, err = s.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey(s.name))
	stop()
	evicting.Wait()
	if sqlState(err) == codeLockTimeout {
		err = advise(fmt.Errorf("%w: another program backs it up or restores it: %w", backup.ErrBusy, err), "wait for it to end")
	}
	return err
}

// evict ends the sessions and the prepared transactions that hold the lock or wait
// for it without being a superuser's.
func (s *session) evict(ctx context.Context, conn *pgx.Conn) error {
	type holder struct {
		Who string
		PID *int32
		GID *string
	}
	list, err := collect[holder](ctx, conn, `SELECT r.rolname::text, l.pid, p.gid FROM pg_locks l
		LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid'
		LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
		JOIN pg_roles r ON r.oid = a.usesysid OR r.rolname = p.owner
		WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (l.classid::int8 << 32 | l.objid::int8) = $1 AND NOT r.rolsuper AND r.rolname <> current_user`, lockKey(s.name))
	if err != nil {
		return err
	}
	for _, h := range list {
		s.warn(fmt.Sprintf("the role %q holds the lock of this program, and was made to give it up", h.Who))
		if h.GID != nil {
			_, err = conn.Exec(ctx, "ROLLBACK PREPARED "+literal(*h.GID))
		} else {
			_, err = conn.Exec(ctx, "SELECT pg_terminate_backend($1)", h.PID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lockKey returns the number of the lock that guards a database's name.
func lockKey(database string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("aspupdate/" + database))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits will do
}
