//go:build linux && !race

package realtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// onWindows are packages whose tests run on Windows here, with a selection of
// them where all take too long; what soak matches runs with ASPUPDATE_SOAK=1. Those of package
// install run beside its installers.
var onWindows = []struct{ name, run, skip, soak string }{
	{name: "version", run: "."},
	{name: "schedule", run: "."},
	{name: "internal/durable", run: "."},
	// Left out: what starts servers and kills processes of Linux, what counts
	// handles, of which Wine opens some of its own, a law whose archives Wine
	// cannot always list, what Wine's links, open files and closed sockets
	// do otherwise than Windows, and minutes of what no system changes.
	{name: "fetch", run: "."},
	{name: "fetch/ftp", run: "^Test(FTPIsASource|FTP(Errors|ServerDown|Retries|Cancel|ListingThat|ServerThatSends)|ASilentServer|FTPOverTLS|TLSSideBySide|Hash$|Dial$)"},
	{name: "fetch/watch", run: "."},
	{name: "fetch/archive", run: ".", skip: "RealServers|Server(Is)?(Killed|Stopped)|Killed|FaultsAre|PowerCut|AnotherProcess|FileBehindALink|NotItsOwn|BeingRead|R10PruneKeepsTheRules|CopyOfAnOpenFile|HalfAnUpload|TenCuts|NoWayPublishes|AHint|SidecarUnderAttack"},
	{name: "backup", run: ".", skip: "PowerCut|EveryDamage|LawsOfPruning|FlippedProof"},
	{name: "backup/files", run: "."},
	{name: "backup/command", run: "^Test(File|Names|R9Backup|R15(Failing|Killed|WhatDiffers)|Other)", soak: "Names|R15Failing"},
	{name: "backup/internal/swap", run: ".", skip: "LinksInParents", soak: "UndoKilledAtEveryCall|OneCallFails"},
	{name: "internal/tree", run: "."},
	{name: "rollback", run: "^Test(Lock|Journal|Torn|Damage|Newer|DeletedLock|R15)", skip: "R15(CrashAt|Fault|Random)", soak: "R15(KilledRevert|CrashLoop)"},
}

// Windows is first class: what runs there is tested there, as far as Wine is
// a Windows.
func TestPackagesUnderWine(t *testing.T) {
	w := StartWine(t)
	for _, p := range onWindows {
		exe := w.BuildTest(t, "../../"+p.name)
		t.Run(p.name, func(t *testing.T) {
			skip := []string{"LinksTheStandardLibraryAlone", p.skip, p.soak}
			if os.Getenv("ASPUPDATE_SOAK") == "1" {
				skip = skip[:2]
			}
			skip = slices.DeleteFunc(skip, func(s string) bool { return s == "" })
			cmd := w.Command(exe, "-test.short", TestTimeout, "-test.run="+p.run, "-test.skip="+strings.Join(skip, "|"))
			cmd.Dir = filepath.Join("../..", p.name)
			w.Output(t, cmd)
		})
	}
}
