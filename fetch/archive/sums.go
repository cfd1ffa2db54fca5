package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/digest"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/pattern"
)

// PinnedSums vouches for the files that are named in a file on this machine,
// in the format of sha256sum, such as one from the vendor's mail. It is read
// each time.
//
//	<64 hexadecimal digits>  asp/7.13.100/Setup.exe
//
// A name has distribution, version and variant in one of the forms of
// [fetch.DefaultPatterns] below the distribution; an extension must be the
// file's. "Setup.exe" alone would match every version, and an old one could be
// passed off as new; such a line makes the whole file invalid, as does any other
// that is not in the format, empty, or a comment after "#". So do different
// hashes for the same file.
func PinnedSums(path string) Verifier { return pinnedSums(path) }

type pinnedSums string

func (p pinnedSums) check() error {
	_, err := p.read()
	return err
}

func (p pinnedSums) Verify(_ context.Context, c Candidate) (Vouched, error) {
	lines, err := p.read()
	if err != nil {
		return Vouched{}, err
	}
	sum, err := agree(lines, func(l sumLine) bool { return l.of.is(c) })
	if err != nil {
		return Vouched{}, fmt.Errorf("%s: %w of %s/%s/%s", string(p), err, names.Show(c.Distribution), c.Version, c.Variant)
	}
	if sum != c.SHA256 {
		return Vouched{}, fmt.Errorf("%w: %s has %s, the file has %s", ErrMismatch, string(p), sum, c.SHA256)
	}
	return Vouched{By: "SHA-256 pinned in " + filepath.Base(string(p)), Authenticated: true}, nil
}

// read is strict: a person wrote the file, and must see a mistake before the day
// on which it matters.
func (p pinnedSums) read() ([]sumLine, error) {
	f, err := os.Open(string(p))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines, odd, err := parseSums(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", string(p), err)
	}
	patterns, _, err := pattern.CompileAll(fetch.DefaultPatterns())
	if err != nil {
		return nil, err
	}
	for i := range lines {
		var ok bool
		if lines[i].of, ok = readPlace(patterns, lines[i].name); !ok {
			odd = append(odd, lines[i].n)
		}
	}
	if len(odd) > 0 {
		return nil, fmt.Errorf(`%s:%d: write it like "<SHA-256>  <distribution>/<version>/Setup.exe"`, string(p), slices.Min(odd))
	}
	return lines, nil
}

// A place holds what the path of a file says.
type place struct {
	distribution string
	pattern.Match
}

func readPlace(patterns []pattern.Path, name string) (place, bool) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "./"), "/")
	distribution, rest, _ := strings.Cut(name, "/")
	for _, p := range patterns {
		if m, ok := p.Match(rest); ok {
			return place{distribution, m}, names.IsSafe(distribution)
		}
	}
	return place{}, false
}

func (p place) is(c Candidate) bool {
	return p.distribution == c.Distribution && p.Version == c.Version && p.Variant == c.Variant &&
		strings.HasSuffix(strings.ToLower(c.Name), p.Ext)
}

// A sumLine is one line of sha256sum's output. The name is empty where the
// line is a hash alone.
type sumLine struct {
	n         int
	sum, name string
	of        place
}

// maxSums is the size of a line for each of 20,000 files, the most that a directory
// may have.
const maxSums = 10 << 20 // bytes

// parseSums reads the output of sha256sum, from Windows too. odd are the numbers
// of the lines that are something else, empty lines and comments aside.
func parseSums(r io.Reader) (lines []sumLine, odd []int, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSums+1))
	switch text := string(data); {
	case err != nil:
		return nil, nil, err
	case len(data) > maxSums:
		return nil, nil, fmt.Errorf("longer than %d bytes: not a list of hashes", maxSums)
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return nil, nil, errors.New("the file is UTF-16: save it as UTF-8")
	}
	n := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, name := line, ""
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			word, name = line[:i], strings.TrimPrefix(strings.TrimSpace(line[i:]), "*")
		}
		sum, ok := digest.Parse(word)
		if !ok {
			odd = append(odd, n)
			continue
		}
		lines = append(lines, sumLine{n: n, sum: sum, name: strings.ReplaceAll(name, `\`, "/")})
	}
	return lines, odd, nil
}

var (
	errNoSum   = errors.New("no SHA-256")
	errTwoSums = errors.New("different SHA-256 hashes")
)

// agree returns the one hash of the lines that count.
func agree(lines []sumLine, counts func(sumLine) bool) (string, error) {
	sum := ""
	for _, l := range lines {
		if !counts(l) {
			continue
		}
		if sum != "" && sum != l.sum {
			return "", errTwoSums
		}
		sum = l.sum
	}
	if sum == "" {
		return "", errNoSum
	}
	return sum, nil
}
