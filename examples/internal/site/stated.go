package site

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install/authenticode"
	"github.com/aspupdate/aspupdate/version"
)

// bind compares what a signed file states about itself with what it is said to
// be (R3): the signature of an old release, or of a FullSetup, is as good as that
// of the wanted one, and its name on a server is not signed. It returns what the
// signature is bound to, for the plan and the journal.
func bind(sig authenticode.Signature, key archive.Key) (string, error) {
	text, names := sig.Stated()
	variant, variantStated := statedVariant(names)
	if variantStated && variant != key.Variant {
		return "", fmt.Errorf("the signed file states that it is a %s (%q); get the vendor's %s, or pin its SHA-256", variant, names, key.Variant)
	}
	numbers, versionStated := statedVersion(text)
	if versionStated && !numbers.are(key.Version) {
		return "", fmt.Errorf("the signed file states version %s; get the vendor's %s of %s, or pin its SHA-256", text, key.Variant, key.Version)
	}
	switch {
	case versionStated && variantStated:
		return "bound to the version and variant that the file states", nil
	case versionStated:
		return "bound to the version that the file states, not to a variant", nil
	case variantStated:
		return "bound to the variant that the file states; the signature is not bound to a version", nil
	}
	return "the signature is not bound to a version: the file states none, and its name is not signed", nil
}

// numbers are those of a version as a file states it.
type numbers struct {
	part [3]int
	beta bool
}

var statedPattern = regexp.MustCompile(`^\D*?(\d+)[.,]\s*(\d+)[.,]\s*(\d+)(.*)$`)

// statedVersion reads "9.23.100", "9.23.100.0" and "9, 23, 100, 0", and what
// builders write around it; ok is false if the file states no version. A fourth
// part is the number of a build.
func statedVersion(text string) (n numbers, ok bool) {
	m := statedPattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return n, false
	}
	for i := range n.part {
		var err error
		if n.part[i], err = strconv.Atoi(m[i+1]); err != nil {
			return n, false
		}
	}
	n.beta = strings.Contains(strings.ToLower(m[4]), "beta")
	return n, n.part != [3]int{}
}

func (n numbers) are(v version.Version) bool {
	w, ok := statedVersion(v.String())
	return ok && w == n
}

var (
	fullPattern  = regexp.MustCompile(`(?i)full[ _.-]*setup`)
	setupPattern = regexp.MustCompile(`(?i)\bsetup\b`)
)

// statedVariant returns the variant that one of the names has.
func statedVariant(names []string) (version.Variant, bool) {
	for _, p := range []struct {
		pattern *regexp.Regexp
		variant version.Variant
	}{{fullPattern, version.FullSetup}, {setupPattern, version.Setup}} {
		for _, name := range names {
			if p.pattern.MatchString(name) {
				return p.variant, true
			}
		}
	}
	return 0, false
}
