package version_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aspupdate/aspupdate/version"
)

// Parse and sort what a server lists.
func Example() {
	var found []version.Version
	for _, s := range []string{"7.12.200", "7.04.100", "7.12.1000", "readme.txt", "7.12.200-beta.2", "7.05.100"} {
		v, err := version.Parse(s)
		if err != nil {
			fmt.Println("skipped:", s)
			continue
		}
		found = append(found, v)
	}
	slices.SortFunc(found, version.Version.Compare)
	fmt.Println(found)
	fmt.Println("latest:", found[len(found)-1])
	// Output:
	// skipped: readme.txt
	// [7.04.100 7.05.100 7.12.200-beta.2 7.12.200 7.12.1000]
	// latest: 7.12.1000
}

func ExampleParse() {
	v, err := version.Parse("7.04.100")
	fmt.Println(v, err, v.X(), v.YY(), v.ZZZ())

	_, err = version.Parse("7.4.100")
	fmt.Println(err)
	fmt.Println(errors.Is(err, version.ErrSyntax))
	if e, ok := errors.AsType[*version.Error](err); ok {
		fmt.Println(e.Field, e.Offset, e.Next)
	}
	// Output:
	// 7.04.100 <nil> 7 4 100
	// parse version "7.4.100": invalid syntax: YY at byte 2 has too few digits; write at least two for YY and three for ZZZ, as in 7.04.100
	// true
	// YY 2 write at least two for YY and three for ZZZ, as in 7.04.100
}

func ExampleParseLoose() {
	v, err := version.ParseLoose(" 7.4.100 ")
	fmt.Println(v, err)
	// Output: 7.04.100 <nil>
}

func ExampleVersion_json() {
	type config struct {
		Installed version.Version `json:"installed"`
		Newest    version.Version `json:"newest,omitzero"`
	}
	b, err := json.Marshal(config{Installed: version.MustParse("7.04.100")})
	fmt.Println(string(b), err)
	// Output: {"installed":"7.04.100"} <nil>
}

func ExampleParseName() {
	n, err := version.ParseName("/АСП/7.04.100/Setup")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(n.Distribution, n.Version, n.Variant)

	_, err = version.ParseName("/../7.04.100")
	fmt.Println(err)
	// Output:
	// АСП 7.04.100 Setup
	// parse release name "/../7.04.100": invalid syntax: distribution at byte 1 is a relative path, not the name of a directory
}

// A name from the server, before it becomes the name of a directory.
func ExampleCheckDistribution() {
	fmt.Println(version.CheckDistribution("АСП"))
	err := version.CheckDistribution("../АСП")
	if e, ok := errors.AsType[*version.Error](err); ok {
		fmt.Printf("%s %q at byte %d\n", e.Op, e.Subject, e.Offset)
	}
	// Output:
	// <nil>
	// check distribution "../АСП" at byte 2
}

// Choose versions, and show what was left out and why.
func ExampleRange() {
	r, err := version.ParseRange(">=7.12.100 <8.00.000")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range []string{"7.11.200", "7.12.100", "7.36.200-beta", "7.36.200", "8.01.100"} {
		v := version.MustParse(s)
		if why := r.Why(v); why != "" {
			fmt.Println("skipped:", v, why)
			continue
		}
		fmt.Println(v, "is a candidate")
	}
	fmt.Println(version.MustParseRange("7.12.x").Contains(version.MustParse("7.12.300")))
	// Output:
	// skipped: 7.11.200 is below the range
	// 7.12.100 is a candidate
	// skipped: 7.36.200-beta is left out: it is a beta, and the range does not mention betas (add the word "beta" to it)
	// 7.36.200 is a candidate
	// skipped: 8.01.100 is above the range
	// true
}
