package backup

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"
)

// An ID is the UTC time to the microsecond and 32 random bits. It sorts by
// time, is unique even if two stores are merged or a clock is set back, and is
// a valid directory name on every system. The caller's name is never part of a path.
const idTime = "20060102-150405.000000"

var idForm = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}\.[0-9]{6}-[0-9a-f]{8}$`)

// newID returns an ID that sorts after the last one of ids, even if the clock was
// set back.
func newID(now time.Time, ids []string) (string, error) {
	now = now.UTC().Truncate(time.Microsecond)
	if len(ids) > 0 {
		last := ids[len(ids)-1]
		if t, err := time.Parse(idTime, last[:len(idTime)]); err == nil && !now.After(t) {
			now = t.Add(time.Microsecond)
		}
	}
	if now.Year() < 1 || now.Year() > 9999 {
		return "", advise(errors.New("the clock is out of range"), "set the clock")
	}
	var r [4]byte
	_, _ = rand.Read(r[:]) // never fails, see crypto/rand
	return now.Format(idTime) + "-" + hex.EncodeToString(r[:]), nil
}

const maxName = 200 // bytes

// checkName accepts what can be printed on one line.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a snapshot needs a name")
	case len(name) > maxName:
		return errors.New("the name is longer than 200 bytes")
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	}
	for _, r := range name {
		if !unicode.IsGraphic(r) {
			return errors.New("the name contains a control character")
		}
	}
	return nil
}
