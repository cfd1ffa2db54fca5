//go:build linux && !race

package realtest

import (
	"path/filepath"
	"strings"
	"testing"
)

// onWindows are packages whose tests run on Windows here, with a selection of
// them where all take too long. Those of package install run beside its
// installers.
var onWindows = []struct{ name, run, skip string }{
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
	{name: "backup/command", run: "^Test(File|Names|R9Backup|R15Failing|R15Killed|Other)"},
	{name: "backup/internal/swap", run: ".", skip: "LinksInParents"},
	{name: "internal/tree", run: "."},
	{name: "rollback", run: "^Test(Lock|Journal|Torn|Damage|Newer|DeletedLock|R15)", skip: "R15(CrashAt|Fault|Random)"},
}

// Windows is first class: what runs there is tested there, as far as Wine is
// a Windows.
func TestPackagesUnderWine(t *testing.T) {
	w := StartWine(t)
	for _, p := range onWindows {
		exe := w.BuildTest(t, "../../"+p.name)
		t.Run(p.name, func(t *testing.T) {
			cmd := w.Command(exe, "-test.short", TestTimeout, "-test.run="+p.run, "-test.skip="+strings.Trim("LinksTheStandardLibraryAlone|"+p.skip, "|"))
			cmd.Dir = filepath.Join("../..", p.name)
			w.Output(t, cmd)
		})
	}
}
