package mssql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// scratchName is the name of the database of a SelfTest.
const scratchName = "aspupdate_selftest"

// scratch are the statements that fill it with all common kinds of objects. Each is a batch.
var scratch = []string{
	`CREATE SCHEMA [Схема "1"]`,
	`CREATE TYPE dbo.phone FROM nvarchar(20) NOT NULL`,
	`CREATE TYPE dbo.ids AS TABLE (id int NOT NULL PRIMARY KEY)`,
	`CREATE SEQUENCE dbo.numbers AS bigint START WITH 5 INCREMENT BY 5`,
	`CREATE TABLE dbo.families (id int IDENTITY(1, 1) NOT NULL CONSTRAINT pk_families PRIMARY KEY, name nvarchar(100) NOT NULL CONSTRAINT uq_families UNIQUE,
		phone dbo.phone NULL, paid money NULL, born date NULL, changed datetime2 NOT NULL CONSTRAINT df_changed DEFAULT SYSUTCDATETIME(),
		photo varbinary(max) NULL, form xml NULL, note nvarchar(max) NULL, guid uniqueidentifier ROWGUIDCOL NOT NULL DEFAULT NEWID(), version rowversion,
		CONSTRAINT ck_paid CHECK (paid >= 0))`,
	`CREATE TABLE [Схема "1"].[Таблица ]]1] (id bigint NOT NULL DEFAULT (NEXT VALUE FOR dbo.numbers), family int NOT NULL
		CONSTRAINT fk_family REFERENCES dbo.families (id) ON DELETE CASCADE, [сумма] decimal(18, 4) NOT NULL, twice AS ([сумма] * 2) PERSISTED,
		CONSTRAINT [pk 1] PRIMARY KEY NONCLUSTERED (id))`,
	`CREATE TABLE dbo.heap (a float NULL, b bit NULL, c sql_variant NULL, d datetimeoffset NULL, e text NULL)`,
	`CREATE INDEX ix_paid ON dbo.families (paid) INCLUDE (name) WHERE paid IS NOT NULL`,
	`CREATE STATISTICS st_born ON dbo.families (born)`,
	`CREATE VIEW dbo.paying WITH SCHEMABINDING AS SELECT id, name, paid FROM dbo.families WHERE paid > 0`,
	`CREATE UNIQUE CLUSTERED INDEX ix_paying ON dbo.paying (id)`,
	`CREATE FUNCTION dbo.half (@x money) RETURNS money AS BEGIN RETURN @x / 2 END`,
	`CREATE FUNCTION dbo.one (@id int) RETURNS TABLE AS RETURN SELECT name FROM dbo.families WHERE id = @id`,
	`CREATE PROCEDURE dbo.pay @id int, @sum money AS UPDATE dbo.families SET paid = ISNULL(paid, 0) + @sum WHERE id = @id`,
	`CREATE TRIGGER dbo.on_family ON dbo.families AFTER UPDATE AS SET NOCOUNT ON; INSERT dbo.heap (a) SELECT id FROM inserted`,
	`CREATE TRIGGER on_schema ON DATABASE FOR CREATE_TABLE AS PRINT 'a table'`,
	`CREATE TRIGGER on_owner ON DATABASE FOR ALTER_AUTHORIZATION_DATABASE AS ROLLBACK`, // fails a restore that fires it
	`CREATE SYNONYM dbo.payers FOR dbo.paying`,
	`CREATE ROLE readers`,
	`CREATE USER reader WITHOUT LOGIN`,
	`ALTER ROLE readers ADD MEMBER reader`,
	`GRANT SELECT ON SCHEMA::dbo TO readers`,
	`DENY SELECT ON dbo.heap TO reader`,
	`EXEC sys.sp_addextendedproperty @name = N'version', @value = N'7.12.100'`,
	`INSERT dbo.families (name, phone, paid, born, photo, form, note) VALUES (N'Ёжикова', N'+7', 10, '2001-02-03', 0x0102, N'<a b="1"/>', REPLICATE(CONVERT(nvarchar(max), N'я'), 10000)), (N'O''Neil', NULL, NULL, NULL, NULL, NULL, NULL)`,
	`INSERT [Схема "1"].[Таблица ]]1] (family, [сумма]) SELECT id, id * 1.5 FROM dbo.families`,
	`INSERT dbo.heap (a, b, c, d, e) SELECT TOP (2000) o.object_id, 1, N'x', SYSDATETIMEOFFSET(), 'text' FROM sys.all_objects o`,
}

// change are the statements that change it, as an update would.
var change = []string{
	`ALTER TABLE dbo.families ADD email nvarchar(100) NULL`,
	`UPDATE dbo.families SET note = N'changed', paid = 20`,
	`DELETE FROM dbo.heap WHERE c IS NOT NULL`,
	`CREATE TABLE dbo.added (id int NOT NULL PRIMARY KEY)`,
	`DROP SYNONYM dbo.payers`,
	`ALTER PROCEDURE dbo.pay @id int, @sum money AS RETURN 0`,
	`REVOKE SELECT ON SCHEMA::dbo FROM readers`,
}

// SelfTest proves on this server that the target does what it promises there. It makes
// a database of its own, aspupdate_selftest, with all common kinds of objects, closes it,
// backs it up, verifies the backup, restores it beside, changes the live one, restores,
// compares, undoes, compares, restores again, and drops everything. It touches no other
// database, and ignores which one the URI names. It takes a minute or so, and some 50 MB in Dir
// and where the server makes databases.
//
// The caller stores the record and sets it as Tested; if an update of the server
// changes its version, the test must be run again.
func (d *Database) SelfTest(ctx context.Context) (Tested, error) {
	t := *d
	t.name, t.scratch, t.Notice = scratchName, true, 0
	s, err := t.connect(ctx)
	if err != nil {
		return Tested{}, err
	}
	defer s.close()
	s.disconnect()
	s.locks = true // of the scratch database; its own calls need it in between
	if err := s.selfTest(ctx); err != nil {
		return Tested{}, failed("self-test on", s.server.name, err)
	}
	return Tested{Server: s.server.name, Version: s.server.full(), Time: time.Now().UTC()}, nil
}

func (s *session) selfTest(ctx context.Context) (err error) {
	if err := s.supported(); err != nil {
		return err
	}
	if err := s.clear(ctx); err != nil { // what a killed one left
		return err
	}
	defer func() {
		if cerr := s.clear(context.WithoutCancel(ctx)); cerr != nil {
			err = errors.Join(err, advise(fmt.Errorf("the database %s stays: %w", scratchName, cerr), "drop it"))
		}
	}()
	if err := s.exec(ctx, sqlCreate(s.name)); err != nil {
		return err
	}
	if err := s.run(ctx, append([]string{sqlMarkScratch}, scratch...)); err != nil {
		return err
	}
	s.disconnect() // gives the lock to the calls
	dir, err := os.MkdirTemp("", "aspupdate-selftest-")
	if err != nil {
		return err
	}
	defer func() { _ = durable.RemoveAll(dir) }()
	return s.course(ctx, &backup.Store{Dir: filepath.Join(dir, "store")})
}

// course is one of all calls of a target.
func (s *session) course(ctx context.Context, store *backup.Store) error {
	t := s.d
	step := func(name string, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	s.locks = false // the calls have it
	if err := step("check", s.check(ctx)); err != nil {
		return err
	}
	if err := step("close", t.Close(ctx)); err != nil {
		return err
	}
	if closed, err := t.Closed(ctx); err != nil || !closed {
		return errors.Join(errors.New("the database was closed, and is not"), err)
	}
	before, err := s.describe(ctx, s.name)
	if err != nil {
		return step("describe", err)
	}
	snap, err := store.Take(ctx, scratchName, t)
	if err != nil {
		return step("back up", err)
	}
	if _, err := store.Prove(ctx, snap.Ref(), t); err != nil {
		return step("prove", err)
	}
	if err := s.run(ctx, change); err != nil {
		return step("change", err)
	}
	after, err := s.describe(ctx, s.name)
	if err != nil {
		return step("describe", err)
	}
	if len(before.contents.differences(after.contents)) < 5 {
		return errors.New("the comparison did not notice what was changed")
	}
	first, err := store.Restore(ctx, snap.Ref(), t)
	if err != nil {
		return step("restore", err)
	}
	if err := step("compare what was restored", s.is(ctx, before)); err != nil {
		return err
	}
	if err := step("undo", first.Undo(ctx)); err != nil {
		return err
	}
	if err := step("compare what was brought back", s.is(ctx, after)); err != nil {
		return err
	}
	second, err := store.Restore(ctx, snap.Ref(), t)
	if err != nil {
		return step("restore again", err)
	}
	if err := step("discard", second.Discard(ctx)); err != nil {
		return err
	}
	if err := step("open", t.Open(ctx)); err != nil {
		return err
	}
	if err := step("tidy", t.Tidy(ctx)); err != nil {
		return err
	}
	return step("compare what was restored again", s.is(ctx, before))
}

// is fails if the live database is not as want describes it.
func (s *session) is(ctx context.Context, want facts) error {
	got, err := s.describe(ctx, s.name)
	if err != nil {
		return err
	}
	if got.Broker != want.Broker {
		return fmt.Errorf("%w: Service Broker is not as it was", backup.ErrMismatch)
	}
	return differ(want.differences(got))
}

// run runs batches in the scratch database.
func (s *session) run(ctx context.Context, batches []string) error {
	return s.within(ctx, s.name, func(c *sql.Conn) error {
		for _, batch := range batches {
			if _, err := c.ExecContext(ctx, batch); err != nil {
				first, _, _ := strings.Cut(batch, "(")
				return fmt.Errorf("%s: %w", strings.TrimSpace(first), err)
			}
		}
		return nil
	})
}

// clear drops the scratch database, and what is beside it.
func (s *session) clear(ctx context.Context) error {
	slot := s.slot()
	if err := slot.Recover(ctx); err != nil {
		return err
	}
	if err := slot.Tidy(ctx); err != nil {
		return err
	}
	st, err := s.status(ctx, scratchName)
	if err == nil {
		s.known[scratchName] = st
		err = s.dropScratch(ctx, st)
	}
	if err = ignoreNone(err); err != nil {
		return err
	}
	return s.cleanDir()
}

// dropScratch drops a database only if a self-test has made it.
func (s *session) dropScratch(ctx context.Context, st status) error {
	var made int
	if st.state == online {
		if err := s.row(ctx, sqlMarked(scratchName, markScratch), nil, &made); err != nil {
			return err
		}
	}
	if made == 0 {
		return advise(fmt.Errorf("%w: nothing proves that a self-test has made the database %s", backup.ErrBusy, scratchName), "drop or rename it")
	}
	return (&place{s}).Drop(ctx, scratchName)
}
