package copies

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Contents is the list of all copies.
type Contents struct {
	Host   string    `json:"host"`
	Signed time.Time `json:"signed"` // UTC
	Copies []Copy    `json:"copies"` // in the order in which they were made
}

// find returns the copy with that kind and ID.
func (c *Contents) find(kind, id string) *Copy {
	for i := range c.Copies {
		if c.Copies[i].Kind == kind && c.Copies[i].ID == id {
			return &c.Copies[i]
		}
	}
	return nil
}

// Known returns the list as this machine has it. Nothing of the place is read.
func (p *Place) Known() (Contents, error) {
	var c Contents
	data, err := os.ReadFile(filepath.Join(p.State, ContentsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	return c, err
}

// publish signs the list, and writes it on this machine and to the place.
func (p *Place) publish(c Contents) error {
	key, err := p.key()
	if err != nil {
		return err
	}
	c.Host, _ = os.Hostname() // only shown to people
	c.Signed = p.now()
	body, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	body = append(body, '\n')
	sig := []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(key, body)) + "\n")
	if err := replace(p.State, ContentsFile, body); err != nil {
		return err
	}
	// A list that does not fit its signature is repaired by Republish.
	for _, f := range []struct {
		name string
		data []byte
	}{{manualFile, []byte(manual)}, {signatureFile, sig}, {ContentsFile, body}} {
		if err := replace(p.Dir, f.name, f.data); err != nil {
			return fmt.Errorf("%w: %w", ErrPlace, err)
		}
	}
	return nil
}

// Republish writes the list to the place again if another one is there, or none.
func (p *Place) Republish() error {
	known, err := p.Known()
	if err != nil || len(known.Copies) == 0 {
		return err
	}
	place, err := os.OpenRoot(p.Dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPlace, err)
	}
	there, _, err := readContents(place, p.PublicKey())
	if err = errors.Join(err, place.Close()); err == nil && there.Signed.Equal(known.Signed) {
		return nil
	}
	return p.publish(known)
}

const keyFile = "signing.key"

// key returns the key that signs the list, and makes it.
func (p *Place) key() (ed25519.PrivateKey, error) {
	path := filepath.Join(p.State, keyFile)
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		seed = make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // never fails, see crypto/rand
		if err = os.MkdirAll(p.State, 0o700); err == nil {
			err = replace(p.State, keyFile, seed)
		}
	}
	if err == nil && len(seed) != ed25519.SeedSize {
		err = fmt.Errorf("%s is not a key", path)
	}
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// PublicKey returns the key by which the list is verified, to be kept with the key that opens
// the copies; "" if there is none yet.
func (p *Place) PublicKey() string {
	if _, err := os.Stat(filepath.Join(p.State, keyFile)); err != nil {
		return ""
	}
	key, err := p.key()
	if err != nil {
		return ""
	}
	pub, _ := key.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(pub)
}

// replace writes the file name of dir so that after a crash it is the old or the new one.
func replace(dir, name string, data []byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	f, temp, err := create(root)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return syncDir(root)
}

// create makes a new file with a hidden name that no one can foresee. Where others can write,
// a name that they know could be a link to a file of this account by now.
func create(root *os.Root) (f *os.File, name string, err error) {
	name = tempPrefix + rand.Text()
	f, err = root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return f, name, err
}

// open opens a regular file for reading. It follows no link, and waits for no pipe.
func open(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", ErrDamaged, name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func sorted(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

const manual = `These files are encrypted copies of a server's backups, made by aspupdate.

contents.json lists them. To check a file:   sha256sum FILE
To open one with the secret key, without aspupdate:

    age --decrypt --identity KEYFILE FILE.tar.age | tar -x

To get everything back on a new machine:

    aspupdate copies restore --from THIS-DIRECTORY --identity KEYFILE --signer KEY --into NEW-DIRECTORY

KEY is the line that "aspupdate copies key" printed on the old machine. It shows that no one
else has put these files here.
`
