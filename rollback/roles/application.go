package roles

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// An exit code of 0 does not show that the application is there: a remover may have
// taken with it what the previous Setup does not bring back. So the directories of
// the application are recorded before an update and compared after a rollback.

// applicationFormat is the version of the file.
const applicationFormat = 1

// An application is what its directories contained before an update.
type application struct {
	Format int `json:"format"`
	// Directories have their files by path, with the SHA-256 of programs and ""
	// otherwise: other files change while people work.
	Directories map[string]map[string]string `json:"directories"`
}

const (
	recordTries   = 3       // a file may vanish while it is read
	programLimit  = 1 << 30 // larger files are no programs
	shownFiles    = 5
	eventOfRunner = install.EventKind("warning")
)

func (i installer) applicationPath() string {
	return filepath.Join(i.Runner.State, "application-"+i.From.SHA256[:min(8, len(i.From.SHA256))]+".json")
}

// Record records the directories of the application before the first damage. What
// cannot be read is reported and not compared later: an update does not depend on it.
func (i installer) Record(ctx context.Context) error {
	if i.From.Version.IsZero() || len(i.Command.Application) == 0 {
		return nil
	}
	now, err := i.application(ctx)
	if err == nil {
		var b []byte
		if b, err = json.Marshal(now); err == nil {
			err = errors.Join(durable.MkdirAll(i.Runner.State, 0o700), durable.WriteFile(i.applicationPath(), b, 0o600))
		}
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	i.warn("the application's directories cannot be recorded, and will not be compared after a rollback: %v", err)
	return i.forget()
}

// Compare fails if a file is missing that was there before the update. It reports
// programs that have changed, and files that were not there.
func (i installer) Compare(ctx context.Context) error {
	before, err := i.recorded()
	if err != nil || before.Format == 0 {
		return err
	}
	now, err := i.application(ctx)
	if err != nil {
		return err
	}
	var missing, changed, more []string
	for _, dir := range slices.Sorted(maps.Keys(before.Directories)) {
		old, is := before.Directories[dir], now.Directories[dir]
		for name, sum := range old {
			switch have, ok := is[name]; {
			case !ok:
				missing = append(missing, filepath.Join(dir, filepath.FromSlash(name)))
			case sum != have:
				changed = append(changed, filepath.Join(dir, filepath.FromSlash(name)))
			}
		}
		for name := range is {
			if _, ok := old[name]; !ok {
				more = append(more, filepath.Join(dir, filepath.FromSlash(name)))
			}
		}
	}
	if len(changed) > 0 {
		i.warn("programs differ from those before the update: %s", files(changed))
	}
	if len(more) > 0 {
		i.warn("files are left that were not there before the update: %s", files(more))
	}
	if len(missing) > 0 {
		return fmt.Errorf("files are missing that were there before the update: %s", files(missing))
	}
	return nil
}

// recorded returns what was recorded, or the zero value if nothing was.
func (i installer) recorded() (before application, err error) {
	b, err := durable.ReadFile(i.applicationPath())
	if errors.Is(err, fs.ErrNotExist) {
		return before, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &before)
	}
	if err == nil && before.Format != applicationFormat {
		err = fmt.Errorf("it has format %d, this program reads format %d", before.Format, applicationFormat)
	}
	if err != nil {
		return application{}, fmt.Errorf("the record %s of the application before the update cannot be read: %w; compare its directories by hand, and move the record away", i.applicationPath(), err)
	}
	return before, nil
}

// forget removes the record.
func (i installer) forget() error {
	if err := durable.Remove(i.applicationPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (i installer) warn(format string, args ...any) {
	if i.Runner.Observe != nil {
		i.Runner.Observe(install.Event{Time: time.Now().UTC(), Kind: eventOfRunner, Text: fmt.Sprintf(format, args...)})
	}
}

// files lists paths for people.
func files(list []string) string {
	slices.Sort(list)
	text := strings.Join(list[:min(len(list), shownFiles)], ", ")
	if len(list) > shownFiles {
		text += fmt.Sprintf(", and %d more", len(list)-shownFiles)
	}
	return text
}

// application reads the directories. One that does not exist is empty.
func (i installer) application(ctx context.Context) (now application, err error) {
	for range recordTries {
		now = application{Format: applicationFormat, Directories: map[string]map[string]string{}}
		err = nil
		for _, dir := range i.Command.Application {
			found := map[string]string{}
			walked := tree.WalkPath(ctx, dir, func(n *tree.Node) error { return see(ctx, n, found) })
			if !errors.Is(walked, fs.ErrNotExist) {
				err = cmp.Or(err, walked)
			} else if _, statErr := os.Lstat(dir); statErr == nil {
				err = cmp.Or(err, walked) // a file in it has vanished
			}
			now.Directories[dir] = found
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return now, err
}

// see adds a file to what was found, unless it comes and goes.
func see(ctx context.Context, n *tree.Node, found map[string]string) error {
	if err := ctx.Err(); err != nil || !n.Mode.IsRegular() || passing(n.Path) {
		return err
	}
	name, sum := n.Path, ""
	if runtime.GOOS == "windows" {
		name = strings.ToLower(name)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(n.File, head); err == nil && n.Size < programLimit && isProgram(string(head)) {
		hash := sha256.New()
		_, _ = hash.Write(head)
		if _, err := io.Copy(hash, n.File); err != nil {
			return err
		}
		sum = hex.EncodeToString(hash.Sum(nil))
	}
	found[name] = sum
	return nil
}

// isProgram reports whether a file is a program or library by how it begins.
func isProgram(head string) bool {
	return strings.HasPrefix(head, "MZ") || strings.HasPrefix(head, "\x7fELF") || strings.HasPrefix(head, "#!")
}

// passing reports whether a file is one that programs make and remove as they run.
func passing(name string) bool {
	name = strings.ToLower(name)
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if slices.Contains([]string{"log", "logs", "tmp", "temp", "cache", "__pycache__"}, path.Base(dir)) {
			return true
		}
	}
	if strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm") || strings.HasSuffix(name, "-journal") {
		return true // of SQLite
	}
	return slices.Contains([]string{".log", ".tmp", ".temp", ".pid", ".lock", ".lck"}, path.Ext(name))
}
