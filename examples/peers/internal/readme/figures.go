package readme

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A Verdict is a promise and its measurement.
type Verdict struct {
	What, Measured, Allowed string
	Kept                    bool
}

// Verdicts returns the verdicts as a Markdown table.
func Verdicts(vs []Verdict) string {
	var b strings.Builder
	b.WriteString("| promise | measured | allowed | |\n| --- | ---: | ---: | --- |\n")
	for _, v := range vs {
		kept := "kept"
		if !v.Kept {
			kept = "**broken**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.What, v.Measured, v.Allowed, kept)
	}
	return b.String()
}

// Median returns the median of xs. It sorts xs.
func Median(xs []float64) float64 {
	slices.Sort(xs)
	n := len(xs)
	return (xs[(n-1)/2] + xs[n/2]) / 2
}

// Digits returns a ratio with two decimals.
func Digits(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// Seconds returns a time in seconds with its unit.
func Seconds(x float64) string {
	if x < 0.1 {
		return fmt.Sprintf("%.1f ms", x*1e3)
	}
	return fmt.Sprintf("%.2f s", x)
}

// Mebibytes returns a number of bytes in MiB, rounded up.
func Mebibytes(n int64) string { return strconv.FormatInt((n+1<<20-1)>>20, 10) }

// Kibibytes returns a value that the kernel reports in kB in a file such as
// /proc/meminfo, in bytes.
func Kibibytes(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var n int64
		if _, err := fmt.Sscanf(line, name+": %d kB", &n); err == nil {
			return n << 10, nil
		}
	}
	return 0, fmt.Errorf("%s: %s not found", file, name)
}

// Machine describes the Go version and the processor.
func Machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %s/%s, %d × %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), model)
}

// Load returns the load average of the last minute, or "unknown".
func Load() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(load), " ")
	return first
}
