package process

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// A Record is what a later process needs to find a tree. It is made by
// [NewRecord], completed by [Start], and meant to be embedded in a JSON file.
type Record struct {
	ID string `json:"id"`
	// Secret marks the processes of the tree. It is in their environment, which
	// other users cannot read, and nowhere else: who knows the ID, which is a part
	// of paths, can neither join the tree nor pretend to be one of it. Records of
	// the first version have none.
	Secret string `json:"secret,omitempty"`
	Group  string `json:"group,omitempty"` // Linux: the control group of the tree, where there can be one
	// Program is an argument that the root alone has, such as the path of a
	// private copy. On Linux it identifies the root as long as PID is 0. Its
	// name on disk is the first version's.
	Program string `json:"copy,omitempty"`
	// Line is a keyed hash of the root's command line, for a command that may leave a
	// service running. On Linux it identifies the root as long as PID is 0.
	Line  string `json:"line,omitempty"`
	PID   int    `json:"pid,omitempty"`   // of the root; 0 if it was not recorded
	Birth string `json:"birth,omitempty"` // when PID was started, in the system's terms
}

// NewRecord returns the record of a tree that is to be started. Keep it where
// other users cannot read it.
func NewRecord() Record {
	id := random()
	return Record{ID: id, Secret: random(), Group: groupPath(id)}
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// line returns the hash of a command line, whose program may be given with its path.
func (r Record) line(argv []string) string {
	h := hmac.New(sha256.New, []byte(r.mark()))
	for i, arg := range argv {
		if i == 0 {
			arg = filepath.Base(arg)
		}
		_, _ = io.WriteString(h, arg+"\x00")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// mark returns the value by which processes show that they belong to the tree.
func (r Record) mark() string { return cmp.Or(r.Secret, r.ID) }

// ValidID reports whether id has the form of a [Record]'s. Check it in a record
// that was read from a file: the ID becomes a part of paths.
func ValidID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}

// A Member is a process. PID and Birth together are never used again.
type Member struct {
	PID    int
	Birth  string // in the system's terms; it includes the start of the machine
	Name   string // the file name of its program; "" if that cannot be read
	Path   string // of its program; "" if that cannot be read
	Parent int    // the number of the process that started it, which may have ended; 0 if that is not known
}

// String returns the identity of m without its name; see [ParseMember].
func (m Member) String() string { return strconv.Itoa(m.PID) + "/" + m.Birth }

// ParseMember parses what [Member.String] returns.
func ParseMember(s string) (Member, error) {
	number, birth, _ := strings.Cut(s, "/")
	pid, err := strconv.Atoi(number)
	if err != nil || birth == "" {
		return Member{}, errors.New("invalid process " + s)
	}
	return Member{PID: pid, Birth: birth}, nil
}

// Alive reports whether m has not ended.
func (m Member) Alive() bool {
	now, ok := Lookup(m.PID)
	return ok && now.Birth == m.Birth
}
