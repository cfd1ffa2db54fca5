package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// System is met if the machine runs the named system, in that version or a
// later one: "windows" with a number such as "10.0.17763", the last part of
// which is the build; "linux" with a kernel version; or a distribution by the
// ID and the VERSION_ID of its os-release, such as "debian" and "12".
func System(name, atLeast string) Check {
	return Check{Name: "operating system", Run: func(context.Context) error {
		has, err := systems()
		if err != nil {
			return fmt.Errorf("cannot find out the operating system: %w", err)
		}
		return systemFits(has, name, atLeast)
	}}
}

// systemFits compares the required system with those of the machine, which map
// names to versions.
func systemFits(has map[string]string, name, atLeast string) error {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(has)) {
		all = append(all, strings.TrimSpace(name+" "+has[name]))
	}
	this := strings.Join(all, ", ")
	version, ok := has[name]
	if !ok {
		return fmt.Errorf("this machine runs %s, but %s %s is needed; install it, or use a machine that has it", this, name, atLeast)
	}
	switch order, err := compareNumbers(version, atLeast); {
	case err != nil:
		return fmt.Errorf("this machine runs %s, but %s %s is needed: %w", this, name, atLeast, err)
	case order < 0:
		return fmt.Errorf("this machine runs %s, but %s %s or later is needed; update the operating system first", this, name, atLeast)
	}
	return nil
}

// compareNumbers compares two versions by the dotted numbers at their beginning,
// "6.1.0" of 6.1.0-13-amd64. A missing number is 0.
func compareNumbers(a, b string) (int, error) {
	as, errA := numbers(a)
	bs, errB := numbers(b)
	if err := cmp.Or(errA, errB); err != nil {
		return 0, err
	}
	as = append(as, make([]uint64, max(0, len(bs)-len(as)))...)
	bs = append(bs, make([]uint64, max(0, len(as)-len(bs)))...)
	return slices.Compare(as, bs), nil
}

func numbers(s string) (list []uint64, err error) {
	digits := s
	if i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		digits = s[:i]
	}
	for part := range strings.SplitSeq(strings.TrimRight(digits, "."), ".") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q does not begin with numbers like 10.0.17763; correct it", s)
		}
		list = append(list, n)
	}
	return list, nil
}

// osRelease reads the ID and the VERSION_ID of an os-release file.
func osRelease(text string) (id, version string) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch name {
		case "ID":
			id = value
		case "VERSION_ID":
			version = value
		}
	}
	return id, version
}

// DotNetFramework is met if Windows has the .NET Framework in that version, from
// "4.5" to "4.8.1", or a later one. It does not check .NET 5 and later, which
// began as .NET Core.
func DotNetFramework(atLeast string) Check {
	return Check{Name: ".NET Framework", Run: func(context.Context) error {
		release, err := frameworkRelease()
		if errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("only Windows has it: %w; remove this check", err)
		}
		if err != nil {
			return fmt.Errorf("cannot find out its version: %w", err)
		}
		return frameworkFits(release, atLeast)
	}}
}

// frameworkFits compares the release number of the framework, 0 for none, with a
// version.
func frameworkFits(release uint64, atLeast string) error {
	has, needed := "no version from 4.5 on", uint64(0)
	for _, f := range []struct { // the first release of each, as Microsoft documents them
		version string
		release uint64
	}{
		{"4.5", 378389}, {"4.5.1", 378675}, {"4.5.2", 379893},
		{"4.6", 393295}, {"4.6.1", 394254}, {"4.6.2", 394802},
		{"4.7", 460798}, {"4.7.1", 461308}, {"4.7.2", 461808},
		{"4.8", 528040}, {"4.8.1", 533320},
	} {
		if release >= f.release {
			has = f.version
		}
		if atLeast == f.version {
			needed = f.release
		}
	}
	switch {
	case needed == 0:
		return fmt.Errorf("unknown version %q; use one from 4.5 to 4.8.1", atLeast)
	case release < needed:
		return fmt.Errorf("%s is installed, but %s is needed; install it first, which may require a restart", has, atLeast)
	}
	return nil
}
