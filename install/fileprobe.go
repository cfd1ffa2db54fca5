package install

import (
	"context"
	"errors"
	"fmt"

	"github.com/aspupdate/aspupdate/internal/pe"
)

// A FileProbe reads the version of a program or library for Windows from the
// file's version resource, on any system. That shows which files are installed,
// not that the application works: use it as the Then of an [HTTPProbe] or a
// [TCPProbe].
type FileProbe struct {
	Path string
	// Key is the name of the resource's string with the version, such as
	// "ProductVersion" or "FileVersion". Empty is the file's numeric version in
	// the form of R2: 7.4.100.0 is 7.04.100. A fourth part that is not zero is
	// appended.
	Key string
}

// Version implements [Probe].
func (p FileProbe) Version(ctx context.Context) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var version string
	err := withHeaders(p.Path, func(f headers) (err error) { version, err = f.version(p.Key); return err })
	if err != nil {
		return "", fmt.Errorf("cannot read the version of the file %s: %w", p.Path, err)
	}
	return version, nil
}

// version returns the string named key of the version resource, or the
// number of the file if key is empty.
func (f headers) version(key string) (string, error) {
	p, err := f.peHeaders()
	if errors.Is(err, ErrUnknownKind) {
		return "", errors.New("not a program or library for Windows, or damaged")
	}
	if err != nil {
		return "", err
	}
	v, ok := p.Version(f.read)
	if !ok {
		return "", errors.New("the version resource is missing or damaged")
	}
	if key != "" {
		text, ok := v.Text(key)
		if !ok {
			return "", fmt.Errorf("the version resource has no string %q", key)
		}
		return firstLine([]byte(text))
	}
	n := v.File
	if n == (pe.Number{}) {
		return "", errors.New("the version resource has no numeric version; set Key to the name of one of its strings")
	}
	version := fmt.Sprintf("%d.%02d.%03d", n[0], n[1], n[2])
	if n[3] != 0 {
		version += fmt.Sprintf(".%d", n[3])
	}
	return version, nil
}
