package site

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/examples/internal/copies"
	"github.com/aspupdate/aspupdate/rollback"
)

// A copiesConfig describes the second place, in which encrypted copies are kept of
// snapshots, archived installers, and the configuration.
type copiesConfig struct {
	Dir        string   `toml:"dir"`         // another disk, or a share that is mounted
	Recipients []string `toml:"recipients"`  // public keys of age
	Keep       int      `toml:"keep"`        // so many copies of each database; 0 means 6
	SameVolume string   `toml:"same_volume"` // why the place may be on the volume of the backups
}

func (c copiesConfig) given() bool { return c.Dir != "" || len(c.Recipients) > 0 }

func (c copiesConfig) check() (m mistakes) {
	if !c.given() {
		return nil
	}
	m.when(!filepath.IsAbs(c.Dir), "copies.dir = %q: give an absolute path", c.Dir)
	m.when(len(c.Recipients) == 0, "copies.recipients is missing: give public keys, age1…, of those who may open the copies")
	m.when(c.Keep < 0, "copies.keep is not negative")
	if _, err := copies.ParseRecipients(c.Recipients); err != nil {
		m.add(fmt.Errorf("copies.recipients: %w", err))
	}
	return m
}

// Place returns the second place. The error wraps [ErrNothing] if there is none.
func (s *Site) Place() (*copies.Place, error) {
	c := s.Config.Copies
	if !c.given() {
		return nil, fmt.Errorf("%w: the configuration has no [copies]", ErrNothing)
	}
	to, err := copies.ParseRecipients(c.Recipients)
	return &copies.Place{Dir: c.Dir, Recipients: to, State: s.copiesDir()}, err
}

func (s *Site) copiesDir() string { return filepath.Join(s.Config.State, "copies") }

// Copied is what a run has done.
type Copied struct {
	New  []copies.Copy
	Gone []copies.Copy // by retention
}

// Copy copies to the second place what has no copy there, each verified there, and
// removes old copies. What cannot be copied is named in the error, and does not keep the rest
// from it. The result is kept for [Site.Copies]. Nothing of an update waits for it.
func (s *Site) Copy(ctx context.Context) (done Copied, err error) {
	p, err := s.Place()
	if err != nil {
		return done, err
	}
	lock, err := rollback.Acquire(s.copiesDir(), "copying backups", time.Now())
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	done, err = s.copyAll(ctx, p)
	return done, errors.Join(err, s.ended(err, false))
}

func (s *Site) copyAll(ctx context.Context, p *copies.Place) (done Copied, err error) {
	if err := p.Ready(); err != nil {
		return done, err
	}
	if err := s.elsewhere(); err != nil {
		return done, err
	}
	sources, err := s.sources()
	errs := []error{err}
	roles, err := s.globals(ctx)
	errs, sources = append(errs, err), append(sources, roles...)
	missing, err := p.Missing(sources)
	if err != nil {
		return done, err
	}
	for _, src := range missing {
		err := s.intact(ctx, src)
		if err == nil {
			var c copies.Copy
			if c, err = p.Put(ctx, src); err == nil {
				done.New = append(done.New, c)
				continue
			}
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			return done, errors.Join(errs...)
		}
	}
	if err := p.Republish(); err != nil {
		return done, errors.Join(append(errs, err)...)
	}
	keep := s.Config.Copies.Keep
	if keep == 0 {
		keep = 6
	}
	there := map[string]bool{} // installers stay as long as they are archived
	for _, src := range sources {
		there[src.Kind+src.ID] = src.Kind == "installer"
	}
	st, err := s.Status()
	if err != nil {
		return done, errors.Join(append(errs, err)...) // it is not known what is needed
	}
	done.Gone, err = p.Prune(keep, func(c copies.Copy) bool { return there[c.Kind+c.ID] || slices.Contains(st.Needed(), c.Ref) })
	return done, errors.Join(append(errs, err)...)
}

// elsewhere fails if the second place dies with the first one.
func (s *Site) elsewhere() error {
	c := s.Config.Copies
	_, here, err := rollback.FreeSpace(s.Config.Backups)
	if err != nil {
		return err
	}
	_, there, err := rollback.FreeSpace(c.Dir)
	if err == nil && here == there && c.SameVolume == "" {
		err = fmt.Errorf("%w: copies.dir %s is on the volume of the backups: is its disk or share mounted? If it has to be there, give the reason in copies.same_volume", copies.ErrPlace, c.Dir)
	}
	return err
}

// intact reads a snapshot or an installer back: nothing is copied that is damaged here.
func (s *Site) intact(ctx context.Context, src copies.Source) error {
	switch src.Kind {
	case "snapshot":
		return s.Store().Verify(ctx, src.Ref)
	case "installer":
		items, _ := s.Archive().List()
		for _, it := range items {
			if src.Files[src.Path] == filepath.Dir(it.Path) {
				return s.Archive().Verify(ctx, it)
			}
		}
	}
	return nil
}

// sources lists what is to be copied. The error names what cannot be read; the rest is listed all
// the same.
func (s *Site) sources() (list []copies.Source, err error) {
	snaps, err := s.Store().List()
	errs := []error{err}
	st, err := s.Status()
	errs = append(errs, err)
	for _, snap := range snaps {
		at, err := s.Store().Path(snap.ID)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		to := path.Join("backups", snap.ID)
		list = append(list, copies.Source{
			Copy:  copies.Copy{Kind: "snapshot", Name: snap.Name, ID: snap.ID, Of: snap.Sealed, Ref: snap.Ref(), Versions: versionsOf(st, snap), Path: to},
			Files: map[string]string{to: filepath.Dir(at)},
		})
	}
	items, err := s.Archive().List()
	errs = append(errs, err)
	for _, it := range items {
		dir := filepath.Dir(it.Path)
		rel, err := filepath.Rel(s.Config.Archive, dir)
		if err != nil || !filepath.IsLocal(rel) {
			errs = append(errs, fmt.Errorf("%s is not in the archive", it.Path))
			continue
		}
		to := path.Join("archive", filepath.ToSlash(rel))
		list = append(list, copies.Source{
			Copy: copies.Copy{
				Kind: "installer", Name: fmt.Sprintf("%s %s %s", it.Distribution, it.Version, it.Variant), ID: to, Of: it.Archived,
				Versions: map[string]string{it.Distribution: it.Version.String()}, Path: to,
			},
			Files: map[string]string{to: dir},
		})
	}
	conf, err := s.configuration()
	return append(list, conf...), errors.Join(append(errs, err)...)
}

// versionsOf returns what was installed when a snapshot was taken, as far as the
// journal knows.
func versionsOf(st rollback.Status, snap backup.Snapshot) map[string]string {
	versions := map[string]string{}
	if b := st.RestorePoint; b != nil {
		for _, ref := range b.Refs {
			if backup.ID(ref) == snap.ID {
				for _, p := range b.Parts {
					versions[p.Name] = string(p.To.Version)
				}
				return versions
			}
		}
	}
	if len(st.Committed) > 0 && snap.Started.After(committedAt(st)) {
		for name, r := range st.Committed {
			versions[name] = string(r.Version)
		}
	}
	return versions
}

// committedAt returns since when the committed versions are.
func committedAt(st rollback.Status) time.Time {
	if st.RestorePoint != nil {
		return st.RestorePoint.Since
	}
	return time.Time{}
}

// configuration returns the configuration and the files that it names, secrets too, as
// one source. Its ID is the hash of all, so that it is copied again when it changes.
func (s *Site) configuration() ([]copies.Source, error) {
	c := s.Config
	if c.file == "" {
		return nil, nil
	}
	paths := append([]string{c.file, c.Server.TLSCA, c.Calendar.Decrees, c.Notify.Mail.TLSCA}, c.secretFiles()...)
	for _, d := range c.Distributions {
		paths = append(paths, d.SHA256File, d.Publisher.Roots)
	}
	files, sum := map[string]string{}, sha256.New()
	var errs []error
	of := time.Time{}
	for i, name := range paths {
		if name == "" {
			continue
		}
		name = os.ExpandEnv(name)
		data, err := os.ReadFile(name)
		fi, serr := os.Stat(name)
		if err = errors.Join(err, serr); err != nil {
			if !errors.Is(err, fs.ErrNotExist) || i == 0 {
				errs = append(errs, err)
			}
			continue
		}
		to := "configuration/" + filepath.Base(c.file)
		if i > 0 {
			to = "configuration/files/" + strings.TrimPrefix(strings.ReplaceAll(filepath.ToSlash(name), ":", ""), "/")
		}
		files[to] = name
		_, _ = fmt.Fprintf(sum, "%s %d\n", to, len(data))
		_, _ = sum.Write(data)
		if fi.ModTime().After(of) {
			of = fi.ModTime()
		}
	}
	if len(files) == 0 {
		return nil, errors.Join(errs...)
	}
	// It is unpacked by its own hash: several may be there.
	id := hex.EncodeToString(sum.Sum(nil))
	at := "configuration-" + id[:12]
	moved := map[string]string{}
	for to, from := range files {
		moved[at+strings.TrimPrefix(to, "configuration")] = from
	}
	return []copies.Source{{Copy: copies.Copy{Kind: "configuration", Name: filepath.Base(c.file), ID: id, Of: of.UTC(), Path: at}, Files: moved}}, errors.Join(errs...)
}

// globals returns the roles of the database servers, with the hashes of their passwords:
// without them nothing is restored on a new server. They are on no disk but encrypted.
func (s *Site) globals(ctx context.Context) (list []copies.Source, err error) {
	s, err = s.resolved(ctx)
	errs := []error{err}
	for _, p := range servers(s.Config.Postgres) {
		text, err := (&postgres.Database{URI: p.value()}).Globals(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sum := sha256.New()
		for line := range bytes.Lines(text) {
			if !bytes.HasPrefix(line, []byte(`\restrict`)) && !bytes.HasPrefix(line, []byte(`\unrestrict`)) { // another one each time
				_, _ = sum.Write(line)
			}
		}
		id := hex.EncodeToString(sum.Sum(nil))
		at := "roles-" + id[:12] + ".sql"
		if slices.ContainsFunc(list, func(src copies.Source) bool { return src.ID == id }) {
			continue // of the same server
		}
		list = append(list, copies.Source{
			Copy: copies.Copy{Kind: "roles", Name: cmp.Or(p.Databases, p.Name), ID: id, Of: time.Now().UTC(), Path: at},
			Data: map[string][]byte{at: text},
		})
	}
	return list, errors.Join(errs...)
}

// A CopyState is what is known of the second place. Nothing of the place is read for it, so that a
// share that hangs keeps nothing waiting.
type CopyState struct {
	Dir     string    `json:"dir"`
	Copies  int       `json:"copies"`
	Bytes   int64     `json:"bytes"`            // of all copies
	Last    time.Time `json:"last,omitzero"`    // when the last copy was made
	Age     float64   `json:"age,omitempty"`    // of that, seconds
	Missing int       `json:"missing"`          // snapshots, installers and configurations without a copy
	Checked time.Time `json:"checked,omitzero"` // when all were last read back and were whole
	Failed  string    `json:"failed,omitempty"` // what the last run could not do
	Since   time.Time `json:"since,omitzero"`   // since when runs fail
}

func (c CopyState) String() string {
	text := fmt.Sprintf("copies: %d lack one in %s", c.Missing, c.Dir)
	if c.Failed != "" {
		text += fmt.Sprintf("; failing since %s: %s", c.Since.Format(time.DateOnly), c.Failed)
	}
	return text
}

// Copies returns what is known of the second place, nil if there is none.
func (s *Site) Copies(now time.Time) (*CopyState, error) {
	p, err := s.Place()
	if errors.Is(err, ErrNothing) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	known, err := p.Known()
	if err != nil {
		return nil, err
	}
	c := s.lastRun()
	c.Dir, c.Copies = p.Dir, len(known.Copies)
	have := map[string]bool{}
	for _, one := range known.Copies {
		have[one.Kind+one.ID] = true
		c.Bytes += one.Bytes
		if one.Copied.After(c.Last) {
			c.Last, c.Age = one.Copied, now.Sub(one.Copied).Seconds()
		}
	}
	sources, err := s.sources()
	for _, src := range sources {
		if !have[src.Kind+src.ID] {
			c.Missing++
		}
	}
	return &c, err
}

func (s *Site) runFile() string { return filepath.Join(s.copiesDir(), "run.json") }

func (s *Site) lastRun() (c CopyState) {
	data, err := readFile(s.runFile())
	if err != nil || json.Unmarshal(data, &c) != nil {
		return CopyState{}
	}
	return c
}

// ended keeps how a run has ended.
func (s *Site) ended(err error, checked bool) error {
	was, now := s.lastRun(), time.Now().UTC()
	c := CopyState{Checked: was.Checked}
	switch {
	case err != nil:
		c.Failed, c.Since = err.Error(), was.Since
		if was.Failed == "" {
			c.Since = now
		}
	case checked:
		c.Checked = now
	}
	data, jerr := json.Marshal(c)
	if jerr != nil {
		return jerr
	}
	return replaceFile(s.runFile(), data)
}

// VerifyCopies reads all copies back and returns how many there are, and the error for what is
// not as it was written.
func (s *Site) VerifyCopies(ctx context.Context) (n int, err error) {
	p, err := s.Place()
	if err != nil {
		return 0, err
	}
	lock, err := rollback.Acquire(s.copiesDir(), "verifying copies", time.Now())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	n, errs := p.Verify(ctx)
	err = errors.Join(errs...)
	return n, errors.Join(err, s.ended(err, true))
}

// RestoreNew restores the newest snapshot of each dataset on a machine that has none of
// the data yet (R15), and returns what became of each. What is there is left alone, so that it can be run
// again after an error. It refuses if the journal knows what is installed: then a rollback is what is wanted.
func (s *Site) RestoreNew(ctx context.Context) (done []string, err error) {
	lock, err := rollback.Acquire(s.Config.State, "restoring on a new machine", time.Now())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	st, err := s.Status()
	if err == nil && (st.Pending != nil || len(st.Committed) > 0) {
		err = fmt.Errorf("%w: the journal knows what is installed here; aspupdate rollback goes back", rollback.ErrRefused)
	}
	if err != nil {
		return nil, err
	}
	snaps, err := s.Store().List()
	if err != nil {
		return nil, err
	}
	var stored []string // what the patterns match is known only from these
	for _, snap := range snaps {
		stored = append(stored, strings.TrimPrefix(snap.Name, "before an update: "))
	}
	slices.Sort(stored)
	s = s.planned(slices.Compact(stored))
	present := *s
	present.First = true // only what is there
	var live, all rollback.Update
	present.protect(&live)
	if s.protect(&all); len(all.Data) == 0 {
		return nil, fmt.Errorf("%w: the configuration backs up no data", ErrNothing)
	}
	for _, set := range all.Data {
		if slices.ContainsFunc(live.Data, func(d rollback.Dataset) bool { return d.Name == set.Name }) {
			done = append(done, set.Name+" exists already, and is left alone")
			continue
		}
		i := -1
		for n, snap := range snaps {
			if snap.Name == "before an update: "+set.Name {
				i = n
			}
		}
		if i < 0 {
			return done, fmt.Errorf("%s: %w", set.Name, backup.ErrNotFound)
		}
		if err := set.Data.Restore(ctx, snaps[i].Ref()); err != nil {
			return done, err
		}
		done = append(done, set.Name+" is restored from "+snaps[i].ID)
	}
	return done, nil
}
