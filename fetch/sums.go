package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// PinnedSums vouches for the files that are named in a file on this machine,
// in the format of sha256sum, such as one that came in the vendor's mail. It
// is read anew each time.
//
//	<64 hexadecimal digits>  asp/7.13.100/Setup.exe
//
// A name says distribution, version and variant in one of the forms of
// [DefaultPatterns] below the distribution; an extension must be the file's.
// "Setup.exe" alone would do for each version, so that anybody could give an
// old one out as new; such a line, and any other that is neither of the
// format nor empty nor a comment after "#", makes the whole file invalid. So
// do different hashes for the same file.
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
		return Vouched{}, fmt.Errorf("%s: %w of %s/%s/%s", string(p), err, show(c.Distribution), c.Version, c.Variant)
	}
	if sum != c.SHA256 {
		return Vouched{}, fmt.Errorf("%w: %s says %s, file has %s", ErrMismatch, string(p), sum, c.SHA256)
	}
	return Vouched{By: "SHA-256 pinned in " + filepath.Base(string(p)), Authenticated: true}, nil
}

// read is strict: a person wrote the file, and wants to know of a slip
// before the day on which it counts.
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
	patterns, err := Layout{}.compile()
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

// A place is what a path on the server says of its file.
type place struct {
	distribution string
	match
}

func readPlace(patterns []pattern, name string) (place, bool) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "./"), "/")
	distribution, rest, _ := strings.Cut(name, "/")
	names := strings.Split(rest, "/")
next:
	for _, p := range patterns {
		if len(p) != len(names) {
			continue
		}
		var m match
		for i, form := range p {
			var ok bool
			if m, ok = m.name(form, strings.ToLower(names[i])); !ok {
				continue next
			}
		}
		return place{distribution, m}, isSafe(distribution)
	}
	return place{}, false
}

func (p place) is(c Candidate) bool {
	return p.distribution == c.Distribution && p.version == c.Version && p.variant == c.Variant &&
		strings.HasSuffix(strings.ToLower(c.Name), p.ext)
}

// A sumLine is one line of sha256sum's output. The name is empty where the
// line is a hash alone.
type sumLine struct {
	n         int
	sum, name string
	of        place
}

// maxSums is room for each file of the largest folder.
const maxSums = maxParts * (2*sha256.Size + maxPath + 8)

// parseSums reads the output of sha256sum, from Windows too. odd are the
// numbers of the lines that are something else; empty lines and comments
// are nothing.
func parseSums(r io.Reader) (lines []sumLine, odd []int, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSums+1))
	switch text := string(data); {
	case err != nil:
		return nil, nil, err
	case len(data) > maxSums:
		return nil, nil, fmt.Errorf("longer than %d bytes: no list of hashes", maxSums)
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return nil, nil, errors.New("it is UTF-16: save it as UTF-8")
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
		sum, ok := parseSum(word)
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

// parseSum reads 64 hexadecimal digits.
func parseSum(text string) (string, bool) {
	if b, err := hex.DecodeString(text); err != nil || len(b) != sha256.Size {
		return "", false
	}
	return strings.ToLower(text), true
}

// isSum reports whether s is a SHA-256 as this package writes it.
func isSum(s string) bool {
	sum, ok := parseSum(s)
	return ok && sum == s
}
