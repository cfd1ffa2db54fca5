package postgres_test

import (
	"context"
	"log"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/postgres"
)

// The database's part of an update that fails, with the password in a file that only
// this account can read.
func Example() {
	ctx := context.Background()
	db := &postgres.Database{URI: "postgres://maintenance@127.0.0.1/asp?passfile=/etc/aspupdate/pgpass"}
	store := backup.Store{Dir: "/srv/backups"}
	if err := db.Close(ctx); err != nil {
		log.Fatal(err)
	}
	snap, err := store.Take(ctx, "before 7.13.100", db)
	if err != nil {
		log.Fatal(err)
	}
	// The installer changes the database here, and fails.
	if _, err := store.Restore(ctx, snap.ID, db); err != nil {
		log.Fatal(err)
	}
	if err := db.Open(ctx); err != nil {
		log.Fatal(err)
	}
	// Once the database that the installer left is no longer needed:
	if err := db.Tidy(ctx); err != nil {
		log.Fatal(err)
	}
}
