package watch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/watch"
	"github.com/aspupdate/aspupdate/schedule"
)

// Check when the vendor's calendar makes it worth while, and report what is new
// and what is late.
func ExampleWatch() {
	server := lab.Vendor()
	defer server.Close()
	dir, err := os.MkdirTemp("", "watch")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	calendar := schedule.Calendar{}
	now := time.Date(2019, 12, 18, 19, 0, 0, 0, schedule.MSK(0)) // the third Wednesday
	server.Put("/asp/7.12.100/Setup.exe", []byte("installer"), now.AddDate(0, 0, -14))
	watch := &watch.Watch{
		Distributions: []string{"asp"},
		File:          filepath.Join(dir, "seen.json"),
		Report: func(_ context.Context, s watch.Sighting) error {
			fmt.Println(s)
			return nil
		},
		// Every five minutes in the four hours after a release is due, else
		// when the next one is, or every three hours.
		Next: func(now time.Time) time.Time {
			for release := range calendar.Before(now.Add(1)) { // due by now
				if now.Sub(release.Due) < 4*time.Hour {
					return now.Add(5 * time.Minute)
				}
				break
			}
			next := now.Add(3 * time.Hour)
			for release, err := range calendar.From(now.Add(1)) {
				if err == nil && release.Due.Before(next) {
					next = release.Due
				}
				break
			}
			return next
		},
		Late: func(_ string, seen []watch.Seen, now time.Time) (time.Time, error) {
			var sightings []schedule.Sighting
			for _, s := range seen {
				sightings = append(sightings, schedule.Sighting{Version: s.Version, Seen: s.Appeared()})
			}
			status, err := calendar.Status(now, sightings...)
			if status.State != schedule.Late {
				return time.Time{}, err
			}
			return status.Missing.Due, err
		},
		Now: func() time.Time { return now }, // leave it out
	}

	// A service calls watch.Run(ctx, src). This is how that goes.
	src := &ftp.Source{Addr: server.Addr}
	check := func() {
		fmt.Println(now.Format("Mon 15:04:"), watch.Check(context.Background(), src), "- next", watch.Next(now).Format("15:04"))
	}
	check()
	now = now.Add(time.Hour)
	check()
	now = now.Add(6 * time.Hour)
	check()
	now = now.Add(12 * time.Hour)
	server.Put("/asp/7.12.200/Setup.exe", []byte("installer"), now.Add(-time.Hour))
	check()
	// Output:
	// released: /asp/7.12.100, there at the first check
	// Wed 19:00: <nil> - next 20:00
	// Wed 20:00: <nil> - next 20:05
	// late: asp, due since 2019-12-18 20:00 MSK
	// Thu 02:00: <nil> - next 05:00
	// released: /asp/7.12.200
	// Thu 14:00: <nil> - next 17:00
}
