package fetch

import (
	"path"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/pattern"
)

// A Layout is where releases are on the server. The regulation says only
// `/<distribution>/X.YY.ZZZ` and `/<distribution>/{Setup,FullSetup}` (R2, R3),
// so the zero value finds every usual form, see [DefaultPatterns].
type Layout struct {
	// Root is the directory of the distributions; empty means "/".
	Root string

	// Patterns are paths below a distribution's directory. {version} and
	// {variant} stand for themselves, {sep} for one of "_", "-", "." and a
	// space, {any} for anything within one name. Upper and lower case match
	// each other. The last name may have an extension beyond the pattern. Empty
	// means DefaultPatterns.
	Patterns []string
}

// DefaultPatterns returns the forms that the zero [Layout] finds.
func DefaultPatterns() []string {
	return []string{
		"{version}/{variant}",
		"{variant}/{version}",
		"{variant}{sep}{version}",
		"{version}/{variant}{sep}{version}",
	}
}

// directory returns the directory of a distribution.
func (l Layout) directory(distribution string) (string, error) {
	if err := names.Check(distribution); err != nil {
		return "", Wrap("find", distribution, err)
	}
	return path.Join("/", l.Root, distribution), nil
}

// Check returns an error if a pattern is invalid.
func (l Layout) Check() error {
	_, err := l.compile()
	return err
}

func (l Layout) compile() ([]pattern.Path, error) {
	texts := l.Patterns
	if len(texts) == 0 {
		texts = DefaultPatterns()
	}
	paths, bad, err := pattern.CompileAll(texts)
	if err != nil {
		return nil, &Error{Op: "read layout", Subject: bad, Err: err, Next: `write it like "{version}/{variant}"`}
	}
	return paths, nil
}
