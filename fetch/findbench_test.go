package fetch_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// What finding the newest of 10,000 costs besides the listing.
func BenchmarkLatestOf10000(b *testing.B) {
	for name, form := range map[string]string{"installers": "Setup_%d.%02d.%03d.exe", "others": "report-%d-%02d-%03d.txt"} {
		b.Run(name, func(b *testing.B) {
			src := lab.Listings{}
			for i := range 10_000 {
				src["/asp"] = append(src["/asp"], fetch.Entry{Name: fmt.Sprintf(form, 7+i/3600, 1+i/100%36, 1+i%100), Size: 1, Time: lab.Released})
			}
			src["/asp"] = append(src["/asp"], fetch.Entry{Name: "Setup_99.01.100.exe", Size: 1, Time: lab.Released})
			b.ReportAllocs()
			for b.Loop() {
				rel, err := fetch.Finder{}.Latest(b.Context(), src, "asp", version.Setup)
				require.NoError(b, err)
				require.Equal(b, "99.01.100", rel.Version.String())
			}
		})
	}
}
