package install

import (
	"errors"
	"io"
	"regexp"
	"strings"
)

// A complaint is a line of an installer's own log that reports a failure. Where it is
// certain, the installation has failed, whatever the exit code is.
type complaint struct {
	line    *regexp.Regexp
	certain bool
}

// complaints are the lines that the makers' programs write, by the kind.
var complaints = map[Kind][]complaint{
	MSI: {
		{regexp.MustCompile(`-- Installation (operation )?failed\.|-- (Configuration|Removal) failed\.|MainEngineThread is returning 1603`), true},
		// The last is of an action whose failure the package ignores, and in English on every Windows.
		{regexp.MustCompile(`Return value 3\.|Note: 1: 1708 |returned actual error code -?[1-9]`), false},
	},
	Inno: {
		{regexp.MustCompile(`Installation process failed|Rolling back changes`), true},
		{regexp.MustCompile(`Runtime error \(at |raised an exception|Exception message:|Fatal exception|Process exit code: -?[1-9]|CreateProcess failed`), false},
	},
	Burn: {
		{regexp.MustCompile(`Apply complete, result: 0x[0-9a-f]*[1-9a-f][0-9a-f]*`), true},
		{regexp.MustCompile(`\]e[0-9]{3}: `), false},
	},
}

const (
	ownLogLimit   = 16 << 20 // bytes of the end of an own log that are searched
	mostComplains = 5        // lines that are shown
	complaintLen  = 200
)

// complaints returns lines of the installer's own log that report a failure, and
// whether one is certain. It is empty for kinds that write no log.
func (r record) complaints() (lines []string, certain bool) {
	known := complaints[r.Kind]
	if r.OwnLog == "" || len(known) == 0 {
		return nil, false
	}
	text, err := readLog(r.OwnLog)
	if err != nil {
		return nil, false // the exit code is what is left
	}
	for line := range strings.Lines(text) {
		for _, c := range known {
			if !c.line.MatchString(line) {
				continue
			}
			certain = certain || c.certain
			if line = strings.TrimSpace(line); len(lines) < mostComplains {
				lines = append(lines, strings.ToValidUTF8(line[:min(len(line), complaintLen)], ""))
			}
			break
		}
	}
	return lines, certain
}

// readLog returns the end of a log as text.
func readLog(path string) (_ string, err error) {
	f, err := open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	from := max(0, size-ownLogLimit)
	var mark [2]byte
	wide := size > 2
	if wide {
		_, err = f.ReadAt(mark[:], 0)
		wide = err == nil && string(mark[:]) == utf16Mark
	}
	if wide {
		from = max(from+from%2, 2)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return "", err
	}
	if wide {
		b = decodeUTF16(b)
	}
	return printable(b, from > 2), nil
}

// heed takes the installer's own log into account: a success that it contradicts is
// reported, and is a failure where that is certain.
func (r *Runner) heed(rec record, out *Outcome) {
	if out.Status != OK && out.Status != RebootNeeded {
		return
	}
	lines, certain := rec.complaints()
	if len(lines) == 0 {
		return
	}
	r.event(eventWarning, 0, rec.Started, "the installer reports success, but its log %s reports a failure: %s", rec.OwnLog, strings.Join(lines, "; "))
	if certain {
		out.Status, out.Next = Failed, nextLog
		out.Meaning = "it reports success, but its own log says that it failed"
	}
}
