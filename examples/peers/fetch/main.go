//go:build linux

// Command fetch compares package fetch with curl, wget, lftp and rclone. It
// starts vsftpd on loopback, lets each program download the same file and read
// the same listing, and rewrites its tables in README.md. Run it in the directory
// of that file, as root (vsftpd uses chroot):
//
//	apt-get install vsftpd curl openssl wget lftp rclone
//	GOWORK=off go run ./fetch
//
// Its files are in memory, below /dev/shm, and are removed at the end. The tables
// show medians over the rounds. A promise is checked against the median of the
// ratios within a round. The exit code is 1 if a promise is broken; the tables
// are written anyway.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/aspupdate/aspupdate/examples/peers/internal/readme"
)

// A plan has the settings of a comparison.
type plan struct {
	parent  string  // directory of the files
	size    int64   // bytes to download
	rounds  int     // of everything but memory
	memory  []int64 // sizes for which memory is measured, in bytes
	entries int     // of the listing
}

func main() {
	var p plan
	flag.StringVar(&p.parent, "dir", "/dev/shm", "`directory` on a tmpfs to work in")
	size := flag.Int64("size", 1024, "`MiB` to download")
	flag.IntVar(&p.rounds, "rounds", 5, "`number` of rounds")
	memory := flag.String("memory", "64,4096", "more sizes in `MiB` for which memory is measured")
	// Not 10,000: some servers cut a listing there without an error, so that
	// package fetch refuses a listing of exactly that length.
	flag.IntVar(&p.entries, "entries", 10_001, "`number` of files in the listing")
	file := flag.String("readme", "README.md", "`file` to rewrite the tables in; empty prints them")
	flag.Parse()
	p.size = *size << 20

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := p.parseMemory(*memory)
	if err == nil {
		err = p.run(ctx, *file)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func (p *plan) parseMemory(text string) error {
	for field := range strings.SplitSeq(text, ",") {
		if field == "" {
			continue
		}
		n, err := strconv.ParseInt(field, 10, 32)
		if err != nil || n < 1 {
			return fmt.Errorf("-memory: invalid number of MiB %q", field)
		}
		p.memory = append(p.memory, n<<20)
	}
	return nil
}

func (p plan) run(ctx context.Context, file string) error {
	if p.rounds < 1 || p.size < 1 || p.entries < 1 {
		return errors.New("-rounds, -size and -entries must be at least 1")
	}
	if why := missing(); why != "" {
		return errors.New(why)
	}
	results, err := p.hold(ctx)
	if err != nil {
		return err
	}
	vs := judge(results)
	text := render(results, vs) + "\n" + machine(ctx, p.rounds) + "\n"
	if file == "" {
		fmt.Print(text)
	} else if err := readme.Rewrite(file, "fetch", text); err != nil {
		return err
	}
	for _, v := range vs {
		if !v.Kept {
			err = errors.Join(err, fmt.Errorf("%s: %s, allowed: %s", v.What, v.Measured, v.Allowed))
		}
	}
	return err
}

// hold runs all contests of the plan.
func (p plan) hold(ctx context.Context) (results []result, err error) {
	b, err := open(ctx, p.parent)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	hold := func(c contest, rounds int) error {
		rs, err := c.hold(ctx, rounds, b)
		results = append(results, result{c, rs})
		return err
	}
	sum, err := b.put(p.size)
	if err != nil {
		return nil, err
	}
	if err := hold(b.download(p.size, sum), p.rounds); err != nil {
		return nil, err
	}
	if err := hold(b.secureDownload(p.size, sum), p.rounds); err != nil {
		return nil, err
	}
	if err := hold(b.bounds(p.size), p.rounds); err != nil {
		return nil, err
	}
	if err := b.take(p.size); err != nil {
		return nil, err
	}
	for _, size := range p.memory {
		if free, err := available(); err == nil && free < 2*size+reserve {
			fmt.Fprintf(os.Stderr, "memory, %s: skipped, only %s free\n", bytesText(size), bytesText(free))
			continue
		}
		sum, err := b.put(size)
		if err != nil {
			return nil, err
		}
		if err := hold(b.memory(size, sum), 1); err != nil {
			return nil, err
		}
		if err := b.take(size); err != nil {
			return nil, err
		}
	}
	newest, err := b.crowd(p.entries)
	if err != nil {
		return nil, err
	}
	// A listing takes milliseconds: more rounds are cheap and more precise.
	const more = 4
	return results, hold(b.listing(p.entries, newest), more*p.rounds)
}

// reserve is the memory left for everything else.
const reserve = 1 << 30

// available returns the available memory in bytes.
func available() (int64, error) { return readme.Kibibytes("/proc/meminfo", "MemAvailable") }

// floor returns the peak memory of this command in bytes. No program's figure is
// below it, see cost.
func floor() (int64, error) { return readme.Kibibytes("/proc/self/status", "VmHWM") }

// machine describes the machine and the programs in one line.
func machine(ctx context.Context, rounds int) string {
	var versions []string
	for _, c := range [][]string{{"curl", "--version"}, {"wget", "--version"}, {"lftp", "--version"}, {"rclone", "version"}} {
		out, err := exec.CommandContext(ctx, c[0], c[1:]...).Output()
		if v := firstNumber(string(out)); err == nil && v != "" {
			versions = append(versions, c[0]+" "+v)
		}
	}
	text := fmt.Sprintf("%s; %s; vsftpd on loopback, files in memory, median of %d rounds, peak memory",
		readme.Machine(), strings.Join(versions, ", "), rounds)
	if least, err := floor(); err == nil {
		text += fmt.Sprintf(" (%s MiB is its lower limit)", readme.Mebibytes(least))
	}
	text += ", load average " + readme.Load() + " at the end, including ours"
	return text + "."
}

// firstNumber returns the first version number in a program's output.
func firstNumber(text string) string {
	for _, word := range strings.Fields(text) {
		word = strings.TrimPrefix(word, "v")
		if len(word) > 2 && word[0] >= '0' && word[0] <= '9' && strings.Contains(word, ".") {
			return word
		}
	}
	return ""
}
