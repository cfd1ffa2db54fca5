package backup_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
)

// An update damages a directory, which is restored.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	app := filepath.Join(dir, "app")
	config := filepath.Join(app, "app.ini")
	_ = os.Mkdir(app, 0o700)
	_ = os.WriteFile(config, []byte("version = 7.12.200"), 0o600)

	ctx := context.Background()
	store := backup.Store{Dir: filepath.Join(dir, "backups")}
	target := &files.Directory{Path: app}
	snap, err := store.Take(ctx, "before 7.13.100", target)
	if err != nil {
		fmt.Println(err)
		return
	}

	_ = os.WriteFile(config, nil, 0o600) // the update fails

	restored, err := store.Restore(ctx, snap.ID, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := os.ReadFile(config)
	fmt.Println(snap.Name+":", string(text))
	if err := restored.Discard(ctx); err != nil { // or Undo
		fmt.Println(err)
	}
	// Output: before 7.13.100: version = 7.12.200
}

// After an update the five newest backups of each target stay, those of the last
// month, and the one that a rollback of the update needs.
func ExampleStore_Prune() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	app := filepath.Join(dir, "app")
	_ = os.Mkdir(app, 0o700)

	ctx := context.Background()
	clock := time.Date(2026, 1, 13, 4, 0, 0, 0, time.UTC)
	store := backup.Store{Dir: filepath.Join(dir, "backups"), Now: func() time.Time { return clock }}
	var committed string
	for i := range 8 { // two releases a month
		clock = clock.AddDate(0, 0, 14)
		snap, err := store.Take(ctx, fmt.Sprintf("before update %d", i+1), &files.Directory{Path: app})
		if err != nil {
			fmt.Println(err)
			return
		}
		if i == 1 {
			committed = snap.ID
		}
	}

	removed, err := store.Prune(ctx, backup.Retention{Newest: 5, Younger: 30 * 24 * time.Hour}, []string{committed})
	if err != nil {
		fmt.Println(err)
	}
	for _, snap := range removed {
		fmt.Println("removed:", snap.Name)
	}
	// Output:
	// removed: before update 1
	// removed: before update 3
}

// Once a month a backup is proven.
func ExampleStore_Prove() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	app := filepath.Join(dir, "app")
	_ = os.Mkdir(app, 0o700)

	ctx := context.Background()
	store := backup.Store{Dir: filepath.Join(dir, "backups")}
	target := &files.Directory{Path: app}
	snap, err := store.Take(ctx, "before 7.13.100", target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("proven:", !snap.Proven.IsZero())
	if snap, err = store.Prove(ctx, snap.ID, target); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("proven:", !snap.Proven.IsZero())
	// Output:
	// proven: false
	// proven: true
}
