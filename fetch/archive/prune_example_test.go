package archive_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/version"
)

// Remove what is neither new nor in use. A caller's journal knows which
// versions those are.
func ExampleArchive_Prune() {
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	store := &archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive")}
	for _, v := range []string{"7.10.100", "7.11.200", "7.12.100", "7.12.200"} {
		file := filepath.Join(dir, "Setup.exe")
		if err := os.WriteFile(file, []byte("installer "+v), 0o600); err != nil {
			panic(err)
		}
		key := archive.Key{Distribution: "asp", Version: version.MustParse(v), Variant: version.Setup}
		if _, err := store.Import(ctx, file, key, archive.Unauthenticated("an example")); err != nil {
			panic(err)
		}
	}
	installed := archive.Key{Distribution: "asp", Version: version.MustParse("7.11.200")}

	keep := archive.Retention{Newest: 2}
	plan, err := store.Prunable(keep, []archive.Key{installed})
	for _, it := range plan {
		fmt.Println("would remove", it.Version, it.Variant, it.Size, "bytes")
	}
	fmt.Println(err)

	gone, err := store.Prune(ctx, keep, []archive.Key{installed})
	fmt.Println(len(gone), "removed,", err)
	items, err := store.List()
	for _, it := range items {
		fmt.Println("kept", it.Version)
	}
	fmt.Println(err)

	mistyped := archive.Key{Distribution: "asp", Version: version.MustParse("7.11.100")}
	_, err = store.Prune(ctx, keep, []archive.Key{mistyped})
	fmt.Println(err)
	// Output:
	// would remove 7.10.100 Setup 18 bytes
	// <nil>
	// 1 removed, <nil>
	// kept 7.12.200
	// kept 7.12.100
	// kept 7.11.200
	// <nil>
	// prune /asp/7.11.100: not in the archive, though listed as in use; nothing was removed; check its spelling; if it is right, import the version, or do not list what was never archived
}
