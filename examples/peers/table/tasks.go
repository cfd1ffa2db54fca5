package main

// ours is the name of this library's sub-benchmarks.
const ours = "aspupdate"

// A task is one benchmark of package peers: the same work done by this library
// and by others.
type task struct {
	bench string // the benchmark's name without "Benchmark"
	title string // the work, as Markdown

	// The highest allowed ratio of our time to a peer's, by the name of the peer's
	// sub-benchmark. Peers without a limit are shown too.
	limits map[string]float64

	allocates bool // whether ours may allocate
}

// tasks returns the rows of the table, in order.
func tasks() []task {
	return []task{
		{
			bench: "VersionParse", title: "`version.Parse`",
			limits: map[string]float64{"hashicorp": 0.05, "blang": 0.10, "deb": 0.35},
		},
		{
			bench: "VersionCompare", title: "`version.Compare`",
			limits: map[string]float64{"blang": 0.75},
		},
		{
			bench: "VersionAppendText", title: "`version.AppendText`, others `String`",
			limits: map[string]float64{"blang": 0.40},
		},
		{
			bench: "VersionString", title: "`version.String`",
			allocates: true,
		},
		{
			bench: "VersionSort", title: "sort 1,000,000 versions",
			limits: map[string]float64{"blang": 0.50},
		},
		{
			bench: "ScheduleNextSameDay", title: "next start of support, the same day",
			limits: map[string]float64{"cron": 0.5, "rrule": 0.001},
		},
		{
			bench: "ScheduleNextWeekend", title: "…, over a weekend",
			limits: map[string]float64{"rrule": 0.001},
		},
		{
			bench: "ScheduleNextNewYear", title: "…, over New Year (cron has no holidays)",
			limits: map[string]float64{"cal": 0.15, "rrule": 0.001},
		},
		{
			bench: "SchedulePlanSameDay", title: "time for a whole update (others: the next start), the same day",
			limits: map[string]float64{"rrule": 0.001},
		},
		{
			bench: "SchedulePlanNewYear", title: "…, over New Year",
			limits: map[string]float64{"rrule": 0.001},
		},
		{
			bench: "ScheduleHoursOfAYear", title: "support hours of a year",
			limits: map[string]float64{"cal": 0.002},
		},
	}
}

// modules returns the module behind each sub-benchmark's name.
func modules() map[string]string {
	return map[string]string{
		"hashicorp":   "github.com/hashicorp/go-version",
		"masterminds": "github.com/Masterminds/semver/v3",
		"blang":       "github.com/blang/semver/v4",
		"deb":         "github.com/knqyf263/go-deb-version",
		"cron":        "github.com/robfig/cron/v3",
		"cal":         "github.com/rickar/cal/v2",
		"rrule":       "github.com/teambition/rrule-go",
	}
}
