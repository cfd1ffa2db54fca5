// Command embed is a whole update in a program of your own: the safe update
// with roles of its own, here on two files, app and data, in the folder given.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
)

type site struct{} // fills every role

func (site) Close(context.Context) error { return os.WriteFile("closed", nil, 0o600) }
func (site) Open(context.Context) error  { return os.RemoveAll("closed") }

func (site) Snapshot(context.Context) (string, error)    { return "backup", copyFile("data", "backup") }
func (site) Verify(_ context.Context, ref string) error  { _, err := os.Stat(ref); return err }
func (site) Restore(_ context.Context, ref string) error { return copyFile(ref, "data") }

func (site) Ready(context.Context, rollback.Release) error { return nil } // look into your archive
func (site) Settle(context.Context) (bool, error)          { return false, nil }
func (site) Install(_ context.Context, r rollback.Release) error {
	return os.WriteFile("app", []byte(r.Version), 0o600)
}

func look(context.Context) (string, error) { b, err := os.ReadFile("app"); return string(b), err }

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

func main() {
	if err := os.Chdir(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	u := &rollback.Update{
		Dir: "state", Fence: site{}, Window: rollback.AnyTime("package schedule knows the support's hours"),
		Data: []rollback.Dataset{{Name: "data", Data: site{}}},
		Parts: []rollback.Part{{Name: "ASP", Installer: site{}, Probe: rollback.Poll(look, time.Second),
			From: rollback.Release{Version: "7.12.100"}, To: rollback.Release{Version: "7.13.100"}}},
	}
	ctx := context.Background()
	_, err := u.Recover(ctx) // at every start
	plan, planErr := u.Plan(ctx)
	if err != nil || planErr != nil {
		log.Fatal(err, planErr)
	}
	res, err := u.Run(ctx, plan)
	fmt.Println(res.Outcome, err)
}
