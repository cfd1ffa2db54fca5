package fetch

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"
)

// servers' limit: pure-ftpd ends a listing here, and may say so or not.
const suspicious = 10_000

// parseMLSD reads the lines of RFC 3659. The library's own reader takes
// "Type=DIR" and links for files, sizes with a leading zero for octal, and
// drops lines with an empty "modify=" or a leading blank.
func parseMLSD(lines []string) []Entry {
	var entries []Entry
	for _, line := range lines {
		e, ok, known := parseFacts(line)
		switch {
		case !known:
			entries = append(entries, Entry{Name: line, Kind: KindUnreadable, Size: -1})
		case ok:
			entries = append(entries, e)
		}
	}
	return entries
}

// parseFacts reads one line. ok is false for what is left out on purpose: the
// folder itself and its parent.
func parseFacts(line string) (e Entry, ok, known bool) {
	facts, name, found := strings.Cut(strings.TrimLeft(line, " "), " ")
	if !found || name == "" || !strings.HasSuffix(facts, ";") {
		return e, false, false
	}
	e = Entry{Name: name, Size: -1}
	kind := ""
	for fact := range strings.SplitSeq(strings.TrimSuffix(facts, ";"), ";") {
		key, value, _ := strings.Cut(fact, "=")
		switch strings.ToLower(key) {
		case "type":
			kind = strings.ToLower(value)
		case "size":
			if n, err := strconv.ParseUint(value, 10, 63); err == nil {
				e.Size = int64(n)
			}
		case "modify":
			if t, err := time.Parse("20060102150405", value); err == nil {
				e.Time = t.Truncate(time.Second)
			}
		}
	}
	switch {
	case kind == "cdir" || kind == "pdir" || name == "." || name == "..":
		return e, false, true
	case kind == "file" || kind == "" && e.Size >= 0:
		e.Kind = KindFile
	case kind == "dir":
		e.Kind = KindFolder
	case kind == "":
		return e, false, false
	default:
		e.Kind = KindOther
	}
	return e, true, true
}

// matchLIST brings what the library understood of a LIST together with the
// lines it came from: a line that the library dropped without a word is
// reported as unreadable.
func matchLIST(lines []string, parsed []*ftp.Entry) []Entry {
	var entries []Entry
	for _, line := range lines {
		if len(parsed) > 0 && isLine(line, parsed[0]) {
			if e := parsed[0]; e.Name != "." && e.Name != ".." {
				entries = append(entries, fromLIST(e))
			}
			parsed = parsed[1:]
			continue
		}
		if rest, ok := strings.CutPrefix(line, "total "); ok {
			if _, err := strconv.Atoi(strings.TrimSpace(rest)); err == nil {
				continue
			}
		}
		entries = append(entries, Entry{Name: line, Kind: KindUnreadable, Size: -1})
	}
	return entries
}

// isLine reports whether e was read from line: names come last.
func isLine(line string, e *ftp.Entry) bool {
	name := e.Name
	if e.Target != "" {
		name += " -> " + e.Target
	}
	return name != "" && strings.HasSuffix(line, " "+name)
}

func fromLIST(e *ftp.Entry) Entry {
	out := Entry{Name: e.Name, Size: -1, Time: e.Time.UTC().Truncate(time.Second)}
	if e.Size <= math.MaxInt64 {
		out.Size = int64(e.Size)
	}
	switch e.Type {
	case ftp.EntryTypeFile:
		out.Kind = KindFile
	case ftp.EntryTypeFolder:
		out.Kind = KindFolder
	default:
		out.Kind = KindOther
	}
	return out
}
