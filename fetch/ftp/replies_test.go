package ftp_test

import (
	"fmt"
	"path/filepath"
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

// A variant is one legal reply of a server, and what it must lead to.
type variant struct {
	verb, reply string
	fault       fetchtest.Fault // of transfers, instead of a reply
	want        error           // nil: the release is archived
}

// successes are the replies of success that RFC 959, 1123, 2228, 2389, 2428, 3659
// and 4217 allow, and those that servers give in their place with the same first
// digit.
func successes() (all []variant) {
	for verb, codes := range map[string][]int{
		"":     {220, 200, 299},
		"USER": {230, 232, 331, 300},
		"PASS": {230, 202, 200, 232},
		"TYPE": {200, 250, 226},
		"OPTS": {200, 202, 250},
		"CWD":  {250, 200, 212, 257},
		"REST": {350, 300, 200},
	} {
		for _, code := range codes {
			all = append(all,
				variant{verb: verb, reply: fmt.Sprintf("%d fine", code)},
				variant{verb: verb, reply: fmt.Sprintf("%d-fine\r\n%d is in the middle\r\n and so on\r\n%d", code, code+1, code)})
		}
	}
	for _, begin := range []string{"150 soon", "125 now", "110 mark", "150-soon\r\n150 now"} {
		for _, end := range []string{"226 done", "250 done", "200 ok", "226-done\r\n226 quite", "225 open still"} {
			all = append(all, variant{verb: "transfer", fault: fetchtest.Fault{Begin: begin, Reply: end}})
		}
	}
	for verb, replies := range map[string][]string{
		"":     {"120 in a minute\r\n220 now", "220-hello\r\n220", "\ufeff220 with a mark", "\r\n220 after a blank line", "220 before a blank line\r\n\r\n", "220 now\r\n150 soon"},
		"FEAT": {"211-\r\n SIZE\r\n MDTM\r\n211 end", "211 none", "200-x\r\nSIZE\r\n200 no blank before", "500 what", "502 no", "550 no", "530 log in"},
		"PASS": {"230 in\r\n\r\n"},
		"OPTS": {"500 no", "501 no", "502 no", "504 no", "530 no", "550 no", "451 no"},
		"SIZE": {"500 no", "501 no", "502 no", "504 no", "550 not in ASCII", "550 denied", "213 many", "450 busy"},
		"MDTM": {"500 no", "501 no", "502 no", "504 no", "550 no", "213 soon", "450 busy"},
		"MLSD": {"500 no", "501 no", "502 no", "504 no", "530 no", "550 denied", "450 no", "451 no", "553 no"},
		"EPSV": {"500 no", "501 no", "502 no", "522 no", "425 no", "450 no", "200 what", "229 what"},
	} {
		for _, r := range replies {
			all = append(all, variant{verb: verb, reply: r})
		}
	}
	return all
}

// refusals are those that end an operation.
func refusals() (all []variant) {
	for verb, replies := range map[string]map[string]error{
		"":     {"421 later": fetch.ErrUnreachable, "500 no": fetch.ErrUnreachable, "554 no": fetch.ErrUnreachable},
		"USER": {"530 no": fetch.ErrCredentials, "501 no": fetch.ErrCredentials, "550 no": fetch.ErrCredentials, "332 account": fetch.ErrCredentials, "532 account": fetch.ErrCredentials, "421 later": fetch.ErrUnreachable, "530 user limit reached": fetch.ErrUnreachable, "431 no": fetch.ErrUnreachable},
		"PASS": {"530 no": fetch.ErrCredentials, "503 no": fetch.ErrCredentials, "332 account": fetch.ErrCredentials, "421 later": fetch.ErrUnreachable},
		"TYPE": {"504 no": fetch.ErrUnreachable, "421 later": fetch.ErrUnreachable},
		"CWD":  {"550 no such directory": fetch.ErrUnknownDistribution, "500 no": fetch.ErrUnreachable, "421 later": fetch.ErrUnreachable, "530 log in": fetch.ErrCredentials},
		"RETR": {"550 no": fetch.ErrNotFound, "551 no": fetch.ErrNotFound, "553 no": fetch.ErrNotFound, "425 no": fetch.ErrUnreachable, "426 no": fetch.ErrUnreachable, "450 busy": fetch.ErrUnreachable, "451 no": fetch.ErrUnreachable, "421 later": fetch.ErrUnreachable, "530 no": fetch.ErrCredentials, "532 no": fetch.ErrCredentials},
		"LIST": {"425 no": fetch.ErrUnreachable, "426 no": fetch.ErrUnreachable, "451 no": fetch.ErrUnreachable, "421 later": fetch.ErrUnreachable, "502 no": fetch.ErrUnreachable},
	} {
		for r, want := range replies {
			all = append(all, variant{verb: verb, reply: r, want: want})
		}
	}
	for _, end := range []string{"425 no", "426 broken", "450 no", "451 no", "452 full", "550 no", "551 no", "421 bye"} {
		all = append(all, variant{verb: "transfer", fault: fetchtest.Fault{Reply: end}, want: fetch.ErrUnreachable})
	}
	return all
}

// flow finds, fetches and archives a release as a program does.
func flow(t *testing.T, src *ftp.Source, data []byte) error {
	rel, err := lab.Finder().Latest(t.Context(), src, "asp", version.Setup)
	if err != nil {
		return err
	}
	store := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Retry: fetch.Retry{Attempts: 1}}
	it, err := store.Fetch(t.Context(), src, rel, version.Setup, archive.PinnedSHA256(lab.Sum(data)))
	if err == nil {
		require.EqualValues(t, len(data), it.Size)
	}
	items, lerr := store.List()
	require.NoError(t, lerr)
	require.Len(t, items, map[bool]int{true: 1, false: 0}[err == nil])
	return err
}

// Whatever a server is allowed to reply: what RFC 959 calls a success is one, and
// a refusal has the right words and publishes nothing.
func TestEveryLegalReply(t *testing.T) {
	t.Parallel()
	data := lab.Payload(300_000)
	for _, v := range append(successes(), refusals()...) {
		name := v.verb + " " + v.reply
		if v.verb == "transfer" {
			name = fmt.Sprintf("transfer %s, %s", v.fault.Begin, v.fault.Reply)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, data, lab.Released)
			s.OnCommand(func(verb, _ string) string {
				switch {
				case verb == v.verb:
					return v.reply
				case v.verb == "LIST" && verb == "MLSD":
					return "502 no"
				}
				return ""
			})
			if v.verb == "transfer" {
				if v.want == nil {
					s.OnListing(func(string, string) fetchtest.Fault { return v.fault })
				}
				s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return v.fault })
			}
			src := &ftp.Source{Addr: s.Addr, Timeout: 5 * time.Second, Retry: fetch.Retry{Attempts: 1}, Password: "secret"}
			err := flow(t, src, data)
			if v.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, v.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}
