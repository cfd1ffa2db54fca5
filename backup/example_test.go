package backup_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
)

// A folder is backed up, an update spoils it, and the way back is taken.
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
	target := &files.Folder{Path: app}
	snap, err := store.Take(ctx, "before 7.13.100", target)
	if err != nil {
		fmt.Println(err)
		return
	}

	_ = os.WriteFile(config, nil, 0o600) // the update goes wrong

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
