package peers_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	masterminds "github.com/Masterminds/semver/v3"
	blang "github.com/blang/semver/v4"
	hashicorp "github.com/hashicorp/go-version"
	deb "github.com/knqyf263/go-deb-version"

	"github.com/aspupdate/aspupdate/version"
)

// texts returns n versions of the years 2019 to 2027, in a random order that is
// the same for all libraries and in every round.
func texts(n int) []string {
	r := rand.New(rand.NewPCG(7, 12))
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%d.%02d.%03d", 7+r.IntN(3), 1+r.IntN(36), 1+r.IntN(999))
	}
	return out
}

// few versions fit into the processor's cache. It is a power of two.
const few = 256

// parsed parses n versions with one library.
func parsed[V any](b *testing.B, n int, parse func(string) (V, error)) []V {
	b.Helper()
	out := make([]V, n)
	for i, s := range texts(n) {
		v, err := parse(s)
		if err != nil {
			b.Fatal(err)
		}
		out[i] = v
	}
	return out
}

func parseHashicorp(s string) (*hashicorp.Version, error) { return hashicorp.NewVersion(s) }

func BenchmarkVersionParse(b *testing.B) {
	in := texts(few)
	b.Run("aspupdate", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := version.Parse(in[i%few]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("hashicorp", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := hashicorp.NewVersion(in[i%few]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("masterminds", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := masterminds.NewVersion(in[i%few]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("blang", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := blang.ParseTolerant(in[i%few]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deb", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := deb.NewVersion(in[i%few]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVersionCompare(b *testing.B) {
	b.Run("aspupdate", func(b *testing.B) {
		vs := parsed(b, few, version.Parse)
		for i := 0; b.Loop(); i++ {
			vs[i%few].Compare(vs[(i+1)%few])
		}
	})
	b.Run("hashicorp", func(b *testing.B) {
		vs := parsed(b, few, parseHashicorp)
		for i := 0; b.Loop(); i++ {
			vs[i%few].Compare(vs[(i+1)%few])
		}
	})
	b.Run("masterminds", func(b *testing.B) {
		vs := parsed(b, few, masterminds.NewVersion)
		for i := 0; b.Loop(); i++ {
			vs[i%few].Compare(vs[(i+1)%few])
		}
	})
	b.Run("blang", func(b *testing.B) {
		vs := parsed(b, few, blang.ParseTolerant)
		for i := 0; b.Loop(); i++ {
			vs[i%few].Compare(vs[(i+1)%few])
		}
	})
	b.Run("deb", func(b *testing.B) {
		vs := parsed(b, few, deb.NewVersion)
		for i := 0; b.Loop(); i++ {
			vs[i%few].Compare(vs[(i+1)%few])
		}
	})
}

// sink keeps the strings alive as a caller would: otherwise the compiler may
// leave them on the stack.
var sink string

// BenchmarkVersionAppendText uses String for the peers, which cannot append.
func BenchmarkVersionAppendText(b *testing.B) {
	b.Run("aspupdate", func(b *testing.B) {
		vs := parsed(b, few, version.Parse)
		var buf []byte
		for i := 0; b.Loop(); i++ {
			buf, _ = vs[i%few].AppendText(buf[:0])
		}
	})
	benchmarkOthersString(b)
}

func BenchmarkVersionString(b *testing.B) {
	b.Run("aspupdate", func(b *testing.B) {
		vs := parsed(b, few, version.Parse)
		for i := 0; b.Loop(); i++ {
			sink = vs[i%few].String()
		}
	})
	benchmarkOthersString(b)
}

func benchmarkOthersString(b *testing.B) {
	b.Run("hashicorp", func(b *testing.B) {
		vs := parsed(b, few, parseHashicorp)
		for i := 0; b.Loop(); i++ {
			sink = vs[i%few].String()
		}
	})
	b.Run("masterminds", func(b *testing.B) {
		vs := parsed(b, few, masterminds.NewVersion)
		for i := 0; b.Loop(); i++ {
			sink = vs[i%few].String()
		}
	})
	b.Run("blang", func(b *testing.B) {
		vs := parsed(b, few, blang.ParseTolerant)
		for i := 0; b.Loop(); i++ {
			sink = vs[i%few].String()
		}
	})
	b.Run("deb", func(b *testing.B) {
		vs := parsed(b, few, deb.NewVersion)
		for i := 0; b.Loop(); i++ {
			sink = vs[i%few].String() // returns the text that it was parsed from
		}
	})
}

// BenchmarkVersionSort leaves the Debian library out: it needs more than 20 s
// each time.
func BenchmarkVersionSort(b *testing.B) {
	const many = 1_000_000
	b.Run("aspupdate", func(b *testing.B) {
		benchmarkSort(b, parsed(b, many, version.Parse), func(vs []version.Version) {
			slices.SortFunc(vs, version.Version.Compare)
		})
	})
	b.Run("hashicorp", func(b *testing.B) {
		benchmarkSort(b, parsed(b, many, parseHashicorp), func(vs []*hashicorp.Version) {
			sort.Sort(hashicorp.Collection(vs))
		})
	})
	b.Run("masterminds", func(b *testing.B) {
		benchmarkSort(b, parsed(b, many, masterminds.NewVersion), func(vs []*masterminds.Version) {
			sort.Sort(masterminds.Collection(vs))
		})
	})
	b.Run("blang", func(b *testing.B) {
		benchmarkSort(b, parsed(b, many, blang.ParseTolerant), func(vs []blang.Version) {
			blang.Sort(vs)
		})
	})
}

// benchmarkSort sorts the same shuffled versions repeatedly.
func benchmarkSort[V any](b *testing.B, shuffled []V, sort func([]V)) {
	b.Helper()
	vs := make([]V, len(shuffled))
	for b.Loop() {
		b.StopTimer()
		copy(vs, shuffled)
		b.StartTimer()
		sort(vs)
	}
}

// The text of a version decides whether a name built from it exists on the
// vendor's server.
func Example_leadingZero() {
	const s = "7.04.100"
	fmt.Println("aspupdate  ", version.MustParse(s))
	fmt.Println("hashicorp  ", hashicorp.Must(hashicorp.NewVersion(s)))
	fmt.Println("masterminds", masterminds.MustParse(s))
	v, err := blang.ParseTolerant(s)
	fmt.Println("blang      ", v.String(), err)
	d, err := deb.NewVersion(s)
	fmt.Println("deb        ", d.String(), err)
	e, err := deb.NewVersion("7.4.100")
	fmt.Println("deb, equal to 7.4.100:", d.Equal(e), err)
	// Output:
	// aspupdate   7.04.100
	// hashicorp   7.4.100
	// masterminds 7.4.100
	// blang       7.4.100 <nil>
	// deb         7.04.100 <nil>
	// deb, equal to 7.4.100: true <nil>
}
