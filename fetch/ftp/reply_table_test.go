package ftp_test

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// legalReplies is the table of RFC 959 (5.4) for the commands that are sent, with
// what later RFCs add: success, then refusal. "greeting" is the reply to the
// connection itself, "RETR" and "LIST" begin a transfer, "end" ends it.
const legalReplies = `
greeting 220                | 421 500 554                               RFC 959; 1123 has clients bear any
USER     230 232 331 336    | 332 421 500 501 530 532 534 431           RFC 959; 2228, 7151 (530 of a HOST)
PASS     202 230 232        | 332 421 500 501 503 530 532               RFC 959, 2228
ACCT     202 230            | 421 500 501 503 530 532                   RFC 959
AUTH     234                | 421 431 500 501 502 503 504 530 534       RFC 2228, 4217
PBSZ     200                | 421 500 501 503 504 530 536               RFC 2228
PROT     200                | 421 431 500 501 503 504 530 534 536       RFC 2228, 4217
FEAT     211                | 421 500 501 502 504 530 550               RFC 2389
OPTS     200                | 421 451 500 501 502 504 530 550           RFC 2389, 2640
TYPE     200                | 421 500 501 504 530                       RFC 959
CWD      250 200            | 421 431 450 500 501 502 530 550 553       RFC 959, 775
SIZE     213                | 421 450 500 501 502 504 530 550 553       RFC 3659
MDTM     213                | 421 450 500 501 502 504 530 550 553       RFC 3659
MLSD     150                | 421 450 451 500 501 502 504 530 534 550 553  RFC 3659
EPSV     229                | 421 425 500 501 502 504 522 530           RFC 2428
PASV     227                | 421 425 500 501 502 530                   RFC 959
REST     350                | 421 500 501 502 504 530 554               RFC 959, 3659
RETR     125 150            | 421 425 426 450 451 500 501 504 521 522 530 532 534 550 551 553  RFC 959, 4217
LIST     125 150            | 421 425 426 450 451 500 501 502 504 521 522 530 534 550          RFC 959, 4217
QUIT     221                | 421 500                                   RFC 959
`

// rulings says what a refusal must lead to: nothing, because something else does
// the command's work, or an error with these words. The first rule that fits holds.
var rulings = []struct {
	verbs string // "" means any
	codes string // "" means any, "4" those of that class
	want  error  // nil: the release is archived
	words string
}{
	{"EPSV QUIT", "", nil, ""},
	{"FEAT", "", nil, ""}, // whether a 421 means it shows at the next command
	{"", "421", fetch.ErrUnreachable, "try later"},
	{"FEAT OPTS SIZE MDTM MLSD PBSZ REST", "", nil, ""},
	{"USER PASS", "332 532", fetch.ErrCredentials, "set Account"},
	{"ACCT", "532", fetch.ErrCredentials, "set Account"},
	{"CWD RETR LIST", "532", fetch.ErrCredentials, "set Account"},
	{"", "4", fetch.ErrUnreachable, "try later"},
	{"AUTH PROT", "", fetch.ErrUnreachable, "the server does not offer this TLS mode"},
	{"USER PASS ACCT", "", fetch.ErrCredentials, "check user"},
	{"TYPE CWD PASV RETR LIST", "530", fetch.ErrCredentials, "check user and password"},
	{"CWD", "550 553", fetch.ErrUnknownDistribution, ""},
	{"RETR", "550 551 553", fetch.ErrNotFound, ""},
	{"LIST", "", fetch.ErrUnreachable, "why the directory cannot be listed"},
	{"", "", fetch.ErrUnreachable, "ask the server's owner why it refuses"},
}

// ruling returns what a refusal must lead to.
func ruling(verb string, code int) (words string, want error) {
	has := func(list, what string) bool { return slices.Contains(strings.Fields(list), what) }
	for _, r := range rulings {
		if (r.verbs == "" || has(r.verbs, verb)) && (r.codes == "" || has(r.codes, strconv.Itoa(code)) || has(r.codes, strconv.Itoa(code/100))) {
			return r.words, r.want
		}
	}
	return "no rule for " + verb, nil // which no error has
}

// A legalReply is one case of the table.
type legalReply struct {
	verb    string
	code    int
	refusal bool
	form    int
}

// The forms of a reply: RFC 959 (4.2) allows any text, none, and more lines than one,
// in which anything may stand.
var replyForms = []string{"%d fine", "%d", "%d-fine\r\n%[2]d is in the middle\r\n and so on\r\n%[1]d end"}

func readLegalReplies(t *testing.T) (all []legalReply) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(legalReplies)) {
		table, _, _ := strings.Cut(line, "RFC")
		fields := strings.Fields(table)
		refusal := false
		for _, f := range fields[1:] {
			if f == "|" {
				refusal = true
				continue
			}
			code, err := strconv.Atoi(f)
			require.NoError(t, err)
			for form := range replyForms {
				all = append(all, legalReply{strings.TrimPrefix(fields[0], "greeting"), code, refusal, form})
			}
		}
	}
	return all
}

// text returns the reply as a server sends it.
func (r legalReply) text(data []byte) string {
	if !r.refusal {
		what := map[string][]string{
			"EPSV": {"229 Entering Extended Passive Mode (|||PORT|)", "229 (!!!PORT!)", "229-x\r\n229 |||PORT|"},
			"PASV": {"227 Entering Passive Mode (127,0,0,1,PORT/256,PORT%256).", "227 127,0,0,1,PORT/256,PORT%256", "227-x\r\n227 =127, 0, 0, 1, PORT/256, PORT%256"},
			"SIZE": {fmt.Sprintf("213 %d", len(data)), fmt.Sprintf("213  %d ", len(data)), fmt.Sprintf("213-x\r\n213 %d", len(data))},
			"MDTM": {"213 20191204170000", "213 20191204170000.123", "213-x\r\n213 20191204170000"},
			"FEAT": {"211-x\r\n SIZE\r\n211 end", "211 none", "211-x\r\n MLST size*;modify*;type*;\r\n211 end"},
		}[r.verb]
		if what != nil {
			return what[r.form]
		}
	}
	text := replyForms[r.form]
	if strings.Contains(text, "[2]") {
		return fmt.Sprintf(text, r.code, r.code+1)
	}
	return fmt.Sprintf(text, r.code)
}

// For every command that is sent and every reply that the RFCs allow: the release
// is found and archived, or it is refused with the right words, and nothing is.
func TestEveryReplyOfTheRFCs(t *testing.T) {
	t.Parallel()
	data := lab.Payload(200_000)
	cert, pool := lab.Certificate(t)
	sent := map[string]bool{}
	for _, r := range readLegalReplies(t) {
		sent[r.verb] = true
		t.Run(fmt.Sprintf("%s %d %d", r.verb, r.code, r.form), func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, data, lab.Released)
			src := &ftp.Source{Addr: s.Addr, Timeout: 5 * time.Second, Retry: fetch.Retry{Attempts: 1}, Password: "secret-word"}
			if r.verb == "AUTH" || r.verb == "PBSZ" || r.verb == "PROT" {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
				src.TLS, src.TLSConfig = ftp.TLSExplicit, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
			}
			src.PASV = r.verb == "PASV"
			reply := r.text(data)
			s.OnCommand(func(verb, arg string) string {
				switch {
				case verb == r.verb && (verb != "OPTS" || strings.HasPrefix(arg, "UTF8")) && (r.refusal || !isTransferVerb(verb)):
					return reply
				case r.verb == "ACCT" && verb == "PASS":
					return "332 account?"
				case r.verb == "LIST" && verb == "MLSD":
					return "502 no"
				}
				return ""
			})
			if r.verb == "ACCT" {
				src.Account = "K7Q1"
			}
			if isTransferVerb(r.verb) && !r.refusal {
				s.OnListing(func(string, string) fetchtest.Fault { return fetchtest.Fault{Begin: reply} })
			}
			s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
				switch {
				case r.verb == "REST" && tr.N == 1:
					return fetchtest.Fault{Cut: 100_000, Reply: "426 broken"}
				case r.verb == "RETR" && !r.refusal:
					return fetchtest.Fault{Begin: reply}
				}
				return fetchtest.Fault{}
			})
			err := legalFlow(t, src, data)
			require.Contains(t, strings.Join(s.Commands(), "\n")+"\n", r.verb, "it was asked")
			if !r.refusal {
				require.NoError(t, err)
				return
			}
			words, want := ruling(r.verb, r.code)
			if want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, want)
			require.ErrorContains(t, err, words)
			if want != fetch.ErrUnknownDistribution { //nolint:errorlint // that is said in words
				require.ErrorContains(t, err, strconv.Itoa(r.code))
			}
			require.NotContains(t, err.Error(), "secret-word")
			require.NotContains(t, err.Error(), "K7Q1")
			if r.verb == "AUTH" {
				require.NotContains(t, s.Commands(), "PASS", "nothing secret in the clear")
			}
		})
	}
	t.Run("no other command is sent", func(t *testing.T) {
		s := fetchtest.New(t)
		s.Put(lab.SetupPath, data, lab.Released)
		require.NoError(t, legalFlow(t, lab.Client(s), data))
		for _, c := range s.Commands() {
			verb, _, _ := strings.Cut(c, " ")
			require.True(t, sent[verb], c)
		}
	})
}

func isTransferVerb(verb string) bool { return verb == "RETR" || verb == "LIST" || verb == "MLSD" }

// legalFlow is flow with time for one transfer that breaks, and SIZE and MDTM asked for.
func legalFlow(t *testing.T, src *ftp.Source, data []byte) error {
	rel, err := lab.Finder().Latest(t.Context(), src, "asp", version.Setup)
	if err != nil {
		return err
	}
	if _, err := (fetch.File{Path: lab.SetupPath}).Refresh(t.Context(), src); err != nil {
		return err
	}
	a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon}
	it, err := a.Fetch(t.Context(), src, rel, version.Setup, archive.PinnedSHA256(lab.Sum(data)))
	if err == nil {
		require.NoError(t, a.Verify(t.Context(), it))
		require.Equal(t, lab.Sum(data), it.SHA256)
	}
	items, lerr := a.List()
	require.NoError(t, lerr)
	require.Len(t, items, map[bool]int{true: 1, false: 0}[err == nil])
	return err
}
