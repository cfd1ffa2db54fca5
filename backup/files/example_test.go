package files_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
)

// The application's configuration is restored, and then that is undone.
func ExampleDirectory() {
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
	_ = os.WriteFile(config, []byte("version = 7.13.100"), 0o600) // the update

	show := func() {
		text, err := os.ReadFile(config)
		fmt.Println(string(text), err)
	}
	restored, err := store.Restore(ctx, snap.ID, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	show()
	if err := restored.Undo(ctx); err != nil {
		fmt.Println(err)
	}
	show()
	// Output:
	// version = 7.12.200 <nil>
	// version = 7.13.100 <nil>
}
