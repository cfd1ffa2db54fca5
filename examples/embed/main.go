// Command embed is a whole update by roles of its own, of the files app and data in the folder given.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
)

type site struct{}                                         // fills every role
func (site) Close(context.Context) error                   { return os.WriteFile("closed", nil, 0o600) }
func (site) Open(context.Context) error                    { return os.RemoveAll("closed") }
func (site) Snapshot(context.Context) (string, error)      { return "backup", copyFile("data", "backup") }
func (site) Verify(_ context.Context, ref string) error    { _, err := os.Stat(ref); return err }
func (site) Restore(_ context.Context, ref string) error   { return copyFile(ref, "data") }
func (site) Ready(context.Context, rollback.Release) error { return nil } // look into your archive
func (site) Settle(context.Context) (bool, error)          { return false, nil }
func (site) Install(_ context.Context, r rollback.Release) error {
	return os.WriteFile("app", []byte(r.Version), 0o600)
}

func look(context.Context) (string, error) {
	b, err := os.ReadFile("app")
	return strings.TrimSpace(string(b)), err
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	return err
}

func main() {
	if len(os.Args) != 2 || os.Chdir(os.Args[1]) != nil {
		log.Fatal("usage: embed FOLDER, with the files app and data in it")
	}
	u := &rollback.Update{
		Dir: "state", Fence: site{}, Window: rollback.AnyTime("package schedule knows the support's hours"),
		Data: []rollback.Dataset{{Name: "data", Data: site{}}},
		Parts: []rollback.Part{{Name: "ASP", Installer: site{}, Probe: rollback.Poll(look, time.Second),
			From: rollback.Release{Version: "7.12.100"}, To: rollback.Release{Version: "7.13.100"}}},
	}
	ctx := context.Background()
	if _, err := u.Recover(ctx); err != nil { // at every start
		log.Fatal(err)
	}
	plan, err := u.Plan(ctx)
	if err != nil {
		log.Fatal(err)
	}
	res, err := u.Run(ctx, plan)
	fmt.Println(res.Outcome, err)
}
