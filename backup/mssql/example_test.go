package mssql_test

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/mssql"
)

// The database's part of an update that fails. The record of the self-test is in a file.
func Example() {
	ctx := context.Background()
	db := &mssql.Database{
		URI: "sqlserver://localhost?database=asp", // as this account of Windows
		Dir: `D:\Exchange`,                        // the server's account may write there
	}
	if record, err := os.ReadFile(`C:\ProgramData\asp\selftest.json`); err == nil {
		if err := json.Unmarshal(record, &db.Tested); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := db.Check(ctx); err != nil {
		log.Fatal(err)
	}
	store := backup.Store{Dir: `D:\Backups`}
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

// The self-test makes a database of its own on the server, and drops it.
func ExampleDatabase_SelfTest() {
	db := &mssql.Database{URI: "sqlserver://localhost?database=asp", Dir: `D:\Exchange`}
	tested, err := db.SelfTest(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	record, err := json.Marshal(tested)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(`C:\ProgramData\asp\selftest.json`, record, 0o600); err != nil {
		log.Fatal(err)
	}
}
