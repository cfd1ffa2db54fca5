package copies

import (
	"archive/tar"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// maxContents bounds the list, bytes: a stranger may have written it.
const maxContents = 64 << 20

// readContents reads the list in a place, and its signature by the key signer. Without a
// key it is not known who has written it.
func readContents(place *os.Root, signer string) (c Contents, signed bool, err error) {
	body, err := readAll(place, ContentsFile)
	if err != nil {
		return c, false, err
	}
	if signer != "" {
		pub, err := base64.StdEncoding.DecodeString(strings.TrimSpace(signer))
		if err != nil || len(pub) != ed25519.PublicKeySize {
			return c, false, fmt.Errorf("%w: the signer's key is not one that \"aspupdate copies key\" printed", ErrKey)
		}
		text, err := readAll(place, signatureFile)
		if err != nil {
			return c, false, err
		}
		sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || !ed25519.Verify(pub, body, sig) {
			return c, false, fmt.Errorf("%w: %s was changed, or another machine has signed it: restore nothing from it before you know who wrote it", ErrKey, ContentsFile)
		}
		signed = true
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, signed, fmt.Errorf("%w: %s: %w", ErrDamaged, ContentsFile, err)
	}
	for _, one := range c.Copies {
		if !filepath.IsLocal(one.File) || strings.ContainsAny(one.File, `/\`) || one.Path != "" && !fs.ValidPath(one.Path) {
			return c, signed, fmt.Errorf("%w: %s has the invalid name %q", ErrDamaged, ContentsFile, one.File)
		}
	}
	return c, signed, nil
}

func readAll(place *os.Root, name string) ([]byte, error) {
	f, err := open(place, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxContents+1))
	if err == nil && len(data) > maxContents {
		err = fmt.Errorf("%w: %s is too large", ErrDamaged, name)
	}
	return data, err
}

// ReadIdentities reads a file with secret keys, as age-keygen writes it.
func ReadIdentities(file string) ([]age.Identity, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	keys, err := age.ParseIdentities(f)
	if err != nil { // which may quote the file
		return nil, fmt.Errorf("%s is not a file with a secret key of age, a line that begins with AGE-SECRET-KEY-", file)
	}
	return keys, nil
}

// Restored is what [Restore] has brought back.
type Restored struct {
	Contents         // without the copies that were not restored
	Signed   bool    // the list is the old machine's
	Damaged  []error // why copies were not restored
}

// Restore decrypts the copies in the place dir into the directory into, which it makes, for
// this account alone: what a server kept in backups, archive and configuration. Each
// copy is read once: what is decrypted is compared with the list, whose signature is verified if
// a signer's key is given, and gets its name in the new directory only then. A
// copy that is damaged is left out and named; a wrong key is an error that wraps [ErrKey].
func Restore(ctx context.Context, dir string, identities []age.Identity, signer, into string) (r Restored, err error) {
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return r, fmt.Errorf("%w: %s is not a directory", ErrPlace, dir)
	}
	place, err := os.OpenRoot(dir)
	if err != nil {
		return r, err
	}
	defer func() { _ = place.Close() }()
	list, signed, err := readContents(place, signer)
	if err != nil {
		return r, err
	}
	r.Contents, r.Signed = list, signed
	r.Copies = nil
	if err := os.Mkdir(into, 0o700); err != nil {
		return r, fmt.Errorf("copies are restored into a new directory: %w", err)
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return r, err
	}
	defer func() { _ = root.Close() }()
	for _, c := range list.Copies {
		err := restoreOne(ctx, place, c, identities, root)
		switch {
		case err == nil:
			r.Copies = append(r.Copies, c)
		case ctx.Err() != nil || errors.Is(err, ErrKey):
			return r, err
		default:
			r.Damaged = append(r.Damaged, err)
		}
	}
	return r, nil
}

// scratch is where a copy is unpacked until it was compared.
const scratch = ".restoring"

func restoreOne(ctx context.Context, place *os.Root, c Copy, identities []age.Identity, root *os.Root) (err error) {
	in, err := openCopy(place, c.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := root.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.RemoveAll(scratch)) }()
	sub, err := root.OpenRoot(scratch)
	if err != nil {
		return err
	}
	bytes := newChecked(ctx, in, c)
	err = decrypt(bytes, c, identities, sub)
	if cerr := bytes.check(); cerr != nil {
		err = cerr // the cause: a stranger's file may not open with our key, which is right all the same
	}
	if err = errors.Join(err, sub.Close()); err != nil {
		return err
	}
	return settle(root, c)
}

func decrypt(bytes io.Reader, c Copy, identities []age.Identity, root *os.Root) error {
	plain, err := age.Decrypt(bytes, identities...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return fmt.Errorf("%w: %s was encrypted for other keys than the one given: find the secret key of one of the [copies] recipients", ErrKey, c.File)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, c.File, err)
	}
	return unpack(tar.NewReader(plain), plain, root, c)
}

// settle moves what was unpacked to its name, in which there is nothing yet.
func settle(root *os.Root, c Copy) error {
	names := []string{c.Path}
	if c.Path == "" {
		entries, err := fs.ReadDir(root.FS(), scratch)
		if err != nil {
			return err
		}
		names = nil
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	for _, name := range names {
		at := filepath.FromSlash(name)
		if _, err := root.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%w: %s is to be unpacked to %s, where another copy is", ErrDamaged, c.File, name))
		}
		if err := root.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return err
		}
		if err := root.Rename(filepath.Join(scratch, at), at); err != nil {
			return err
		}
	}
	return nil
}

// unpack extracts files and directories, inside of root and below what the list
// says.
func unpack(tr *tar.Reader, rest io.Reader, root *os.Root, c Copy) error {
	total := int64(0)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, c.File, err)
		}
		name := path.Clean(h.Name)
		if !fs.ValidPath(name) || c.Path != "" && name != c.Path && !strings.HasPrefix(name, c.Path+"/") {
			return fmt.Errorf("%w: %s has the name %q in it", ErrDamaged, c.File, h.Name)
		}
		if total += h.Size; h.Size > c.Bytes || total > c.Bytes { // it has holes, as no copy of ours does
			return fmt.Errorf("%w: %s has more in it than its size", ErrDamaged, c.File)
		}
		at := filepath.FromSlash(name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(at, 0o700)
		case tar.TypeReg:
			if err = root.MkdirAll(filepath.Dir(at), 0o700); err == nil {
				err = extract(tr, root, at, fs.FileMode(h.Mode)&0o700) //nolint:gosec // masked
			}
		default:
			err = fmt.Errorf("%w: %s has something else than files in it", ErrDamaged, c.File)
		}
		if err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, rest); err != nil { // to the last, authenticated byte
		return fmt.Errorf("%w: %s: %w", ErrDamaged, c.File, err)
	}
	return nil
}

func extract(r io.Reader, root *os.Root, name string, mode fs.FileMode) error {
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600|mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Sync(), out.Close())
}
