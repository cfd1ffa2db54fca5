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
	if pe, ok := errors.AsType[*version.ParseError](err); ok {
		fmt.Println(pe.Field, pe.Offset)
	}
	// Output:
	// 7.04.100 <nil> 7 4 100
	// cannot read "7.4.100" as a version: YY at byte 2 has too few digits: YY has at least two and ZZZ at least three, as in 7.04.100
	// YY 2
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
	// cannot read "/../7.04.100" as a release name: distribution at byte 1 must be the name of a folder, not . or ..
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
		fmt.Println(v, r.Why(v))
	}
	fmt.Println(version.MustParseRange("7.12.x").Contains(version.MustParse("7.12.300")))
	// Output:
	// 7.11.200 is below the range
	// 7.12.100 is inside the range
	// 7.36.200-beta is left out: it is a beta, and the range does not ask for betas (add the word "beta" to it)
	// 7.36.200 is inside the range
	// 8.01.100 is above the range
	// true
}
