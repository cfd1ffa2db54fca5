package install

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/safetext"
)

const (
	tailLimit = 16 << 10 // bytes of output that an Outcome carries
	lineLimit = 256      // bytes of a probe's answer
)

// open is [os.Open], and waits for a virus scanner that has the file to itself.
func open(path string) (f *os.File, err error) {
	err = durable.WhileInUse(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// openLog opens the file that an installer writes to directly. A pipe through
// this process would break if this process died.
func openLog(path string) (f *os.File, size int64, err error) {
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	size, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// ownLog returns the path of the installer's own log if its output goes to log.
func ownLog(log string) string {
	return strings.TrimSuffix(log, ".log") + ".installer.log"
}

// makePrivate creates a file that other users cannot read, for a program that
// would create it for all.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// logs returns the logs of a run that has ended, and the end of their text. It
// removes the installer's own log if the installer did not write to it.
func (r record) logs(from int64) (log, own, tail string) {
	own = r.OwnLog
	if fi, err := os.Stat(own); err != nil || fi.Size() == 0 {
		if err == nil {
			_ = durable.Remove(own)
		}
		own = ""
	}
	if tail = readTail(r.Log, from, r.CodePage); tail == "" && own != "" {
		tail = readTail(own, 0, "")
	}
	return r.Log, own, tail
}

// readTail returns the end of what was written to the file after offset from.
// It is only for people: an unreadable file has an empty one.
func readTail(path string, from int64, page codePage) string {
	f, err := open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size <= from {
		return ""
	}
	cut := size-from > tailLimit
	if cut {
		from = size - tailLimit
	}
	var mark [2]byte
	if _, err := f.ReadAt(mark[:], 0); err == nil && string(mark[:]) == utf16Mark {
		from = max(from+from%2, 2) // characters have two bytes, counted from the mark
		b, _ := io.ReadAll(io.NewSectionReader(f, from, max(size-from, 0)))
		return printable(decodeUTF16(b), false)
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, from, size-from))
	return page.printable(b, cut)
}

// printable returns output as text that can be shown. If cut is true, b may
// begin inside a character.
func printable(b []byte, cut bool) string { return codePage("").printable(b, cut) }

func (p codePage) printable(b []byte, cut bool) string {
	if cut && codePages[p] == nil {
		b = safetext.FromRune(b)
	}
	return safetext.Clean(p.decode(b))
}

// firstLine returns the first line of a probe's answer that is not empty, without the
// spaces around it. It may be in UTF-16, or begin with a mark of UTF-8. The answer comes from a server: a line that is empty, too long or not
// printable is an error, not a version.
func firstLine(b []byte) (string, error) {
	switch { // as programs of Windows write them
	case bytes.HasPrefix(b, []byte(utf16Mark)):
		b = decodeUTF16(b[2:])
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		b = b[3:]
	}
	line, _, ended := strings.Cut(strings.TrimLeft(string(b), "\r\n"), "\n")
	if !ended && len(line) > lineLimit || len(strings.TrimSuffix(line, "\r")) > lineLimit {
		return "", errors.New("the answer's first line is too long for a version; point the probe at the version alone")
	}
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")) // Windows programs write such a mark
	switch {
	case line == "":
		return "", errors.New("the answer's first line is empty; point the probe at the version")
	case !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", errors.New("the answer's first line is not plain text; point the probe at the version")
	}
	return line, nil
}

// answerLimit is how much of an answer is read, in which a line of lineLimit fits
// also as UTF-16.
const answerLimit = 4 * lineLimit

// head keeps the first bytes written to it, and
// discards the rest, so that the writer never blocks.
type head struct{ b []byte }

func (h *head) Write(p []byte) (int, error) {
	if space := answerLimit - len(h.b); space > 0 {
		h.b = append(h.b, p[:min(space, len(p))]...)
	}
	return len(p), nil
}
