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
func readContents(dir, signer string) (c Contents, signed bool, err error) {
	body, err := readAll(filepath.Join(dir, ContentsFile))
	if err != nil {
		return c, false, err
	}
	if signer != "" {
		pub, err := base64.StdEncoding.DecodeString(strings.TrimSpace(signer))
		if err != nil || len(pub) != ed25519.PublicKeySize {
			return c, false, fmt.Errorf("%w: the signer's key is not one that \"aspupdate copies key\" printed", ErrKey)
		}
		text, err := readAll(filepath.Join(dir, signatureFile))
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

func readAll(name string) ([]byte, error) {
	f, err := os.Open(name)
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
// copy is compared with the list, whose signature is verified if a signer's key is given. A
// copy that is damaged is left out and named; a wrong key is an error that wraps [ErrKey].
func Restore(ctx context.Context, dir string, identities []age.Identity, signer, into string) (r Restored, err error) {
	list, signed, err := readContents(dir, signer)
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
		err := restoreOne(ctx, dir, c, identities, root)
		switch {
		case err == nil:
			r.Copies = append(r.Copies, c)
		case ctx.Err() != nil || errors.Is(err, ErrKey):
			return r, err
		default:
			r.Damaged = append(r.Damaged, err)
			if c.Path != "" { // half of it may be there
				if rerr := root.RemoveAll(filepath.FromSlash(c.Path)); rerr != nil {
					return r, errors.Join(err, rerr)
				}
			}
		}
	}
	return r, nil
}

func restoreOne(ctx context.Context, dir string, c Copy, identities []age.Identity, root *os.Root) error {
	file := filepath.Join(dir, c.File)
	if err := matches(ctx, file, c); err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	plain, err := age.Decrypt(reader{ctx, in}, identities...)
	if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
		return fmt.Errorf("%w: %s was encrypted for other keys than the one given: find the secret key of one of the [copies] recipients", ErrKey, c.File)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, c.File, err)
	}
	return unpack(tar.NewReader(plain), plain, root, c)
}

// unpack extracts files and directories, inside of root and below what the list
// says.
func unpack(tr *tar.Reader, rest io.Reader, root *os.Root, c Copy) error {
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
