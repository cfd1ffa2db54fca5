package postgres

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Kinds of databases that are made beside the live one.
const (
	kindClone = "clone" // for a quick rollback, kept until Tidy
	kindNew   = "new"   // being restored, or given up by Undo
	kindOld   = "old"   // was live, kept aside until Discard or Tidy

	kindDiffers = "differs" // was restored and differs from the backup: for a person to decide, until Tidy or the next restore
)

// Settings of databases that hold the state of this package. They survive
// renaming, and are written in one transaction with what they record.
const (
	setLimit    = "aspupdate.connection_limit" // of a closed database: the limit that Open sets again
	setOwner    = "aspupdate.owner"            // of a closed database: the owner that Open sets again
	setGrants   = "aspupdate.grants"           // of a closed database: its grants, as JSON, that Open sets again
	setKind     = "aspupdate.kind"             // of a complete database that is not the live one
	setSnapshot = "aspupdate.snapshot"         // of one that differs: which backup it was restored from
	setSwapping = "aspupdate.swapping"         // of the live one: it allows no connections during a swap
	setPrefix   = "aspupdate."
)

const (
	maxIdentifier = 63 // bytes, NAMEDATALEN - 1
	hashLen       = 6  // hex digits
	markLen       = 8  // hex digits
)

// besideName returns the name of a database of that kind beside db. Long names are
// cut; the hash of the whole name distinguishes two that begin alike.
func besideName(db, kind, mark string) string {
	sum := sha256.Sum256([]byte(db))
	suffix := "_aspupdate_" + kind + "_" + hex.EncodeToString(sum[:])[:hashLen] + mark
	base := db
	for len(base)+len(suffix) > maxIdentifier {
		_, n := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-n]
	}
	return base + suffix
}

// kindOf returns the kind of a database beside db by its name, "" for any other.
func kindOf(db, name string) string {
	for _, kind := range []string{kindClone, kindNew, kindOld, kindDiffers} {
		if len(name) < markLen || !strings.Contains(name, "_aspupdate_"+kind+"_") {
			continue
		}
		mark := name[len(name)-markLen:]
		if _, err := hex.DecodeString(mark); err == nil && besideName(db, kind, mark) == name {
			return kind
		}
	}
	return ""
}

func newMark() string {
	var r [markLen / 2]byte
	_, _ = rand.Read(r[:]) // never fails, see crypto/rand
	return hex.EncodeToString(r[:])
}

// ident quotes names for use in SQL.
func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// literal quotes a string for commands that accept no parameters, whatever the
// value of standard_conforming_strings.
func literal(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(q, `\`) {
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}
