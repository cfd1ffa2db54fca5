package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fieldFault was seen in the field, and is one of a kind.
type fieldFault struct {
	fault, kind string
	tests       string // that show what is right; script/NAME is a script of TestScripts
}

var fieldFaults = []fieldFault{
	{"an old copy of the state directory is put back", "a stale state is refused",
		"TestFieldStaleStateDirectoryIsRefused TestFieldStateFromBeforeThePendingUpdateIsRefused TestFieldStateThatWentOnElsewhereIsRefused TestFieldStateFromBeforeTheDamageIsRefused TestFieldStateFromBeforeADecisionIsRefused TestFieldStateOfARunningUpdateIsNotStale TestAnOldCopyOfTheStateLosesNothing"},
	{"a whole machine is put back as it was in mid-update", "what fits together is no stale state", "TestAWholeMachineIsPutBack"},
	{"a site moves to another machine", "a stale state is refused", "TestASiteMoves TestJournalGetsAnIdentityAndKeepsIt"},
	{"a newer journal is called damaged", "each refusal has its own words", "TestFieldNewerJournalIsNotCalledDamaged script/codes"},
	{"a journal is edited, or cut", "each refusal has its own words", "TestDamageBlocksAndIsKept TestTornTailIsCutOff TestADamagedJournalOfAPendingUpdateLeadsOut"},

	{"a re-release is installed by hand and accepted", "what is installed is committed", "TestFieldAcceptCommitsWhatIsReallyInstalled TestAReReleaseIsAcceptedByItsOwnHash"},
	{"the support repairs with a third version", "any healthy version is accepted", "TestFieldAcceptTakesTheSupportsHotfix TestTheSupportsHotfixIsAccepted TestTheSupportsHotfixIsGivenWithTheCall TestSoakFieldActions"},
	{"the way back has stopped the application, and a person accepts", "after a durable end users are in", "TestFieldAcceptStartsTheApplication TestFieldAcceptOfAFirstInstallation TestSoakFieldActions"},
	{"a forged Setup of the installed version", "the way back asks the verifier", "TestFieldSetupToGoBackToIsVouchedFor"},
	{"retry after the support's repair", "no restore over newer data", "TestFieldRetryKeepsWhatWasEnteredSince"},
	{"a restart opens the fence of a pending update", "no restore over newer data", "TestFieldRestartThatOpenedTheFenceKeepsWhatWasEntered"},
	{"the system does not say which boot it is", "no restore over newer data", "TestFieldUnknownBootMayBeAnother"},
	{"a rollback without a fence", "no restore over newer data", "TestFieldUpdateWithoutAFenceKeepsWhatWasEntered"},
	{"the previous Setup starts the application", "no restore over newer data", "TestFieldRestoreAgainStopsTheApplicationAndKeepsWhatIsNewer"},
	{"the live data cannot be kept, or is gone", "no restore over newer data", "TestFieldNothingIsRestoredOverWhatCannotBeKept"},
	{"the backup program, or the data's volume, is missing", "no restore over newer data", "TestFieldWhatIsMissingOtherThanTheDataIsNoAbsence TestFieldDataThatComesLateIsKept TestFieldFirstInstallationWithoutItsBackupProgramIsAbandoned"},
	{"damaged data cannot be kept, and each retry fails", "no dead end", "TestFieldNothingIsRestoredOverWhatCannotBeKept TestFieldNamingWhatCannotBeKeptGivesUpNothingElse TestDataThatCannotBeKeptHasAWayOut"},
	{"the new version's remover takes the data along", "no dead end", "TestFieldDataRemovedWithItsVersionIsNoLoss"},
	{"a part is installed by hand, then retry", "no dead end", "TestFieldRetryRemovesWhatWasInstalledByHand"},

	{"the state's volume fills after users are let in", "users are not locked out", "TestDiskFullAtEveryByte TestSoakFieldActions"},
	{"the same, before anything was damaged", "users are not locked out", "TestDiskFullAtEveryByte TestSoakFieldActions"},
	{"the application ends while its databases are restructured", "no dead end", "TestFieldApplicationThatEndsIsStartedAgain TestSoakASP"},
	{"recovery closes the fence of a committed update", "after a durable end only open", "TestFieldRecoveryAfterADurableEndOnlyOpens"},
	{"the application does not start after the commit", "reported until it does", "TestFieldApplicationThatDoesNotStartAfterTheCommitIsReported"},
	{"a part that cannot be asked does not open", "users are not locked out", "TestFieldFencePartThatDoesNotOpenAndCannotBeAskedIsNoSuccess"},
	{"a part of the fence does not answer any more", "no dead end", "TestFieldFencePartThatDoesNotAnswerKeepsNoUpdatePending"},
	{"the share with the backups hangs", "no dead end", "TestFieldShareThatHangsBlocksNoRecovery"},
	{"the archive's share is read-only", "refused before users are out", "TestFieldShareThatCannotBeWrittenIsRefusedBeforeTheFence TestPlanFindsWhatCannotBeWritten"},
	{"nothing can be restored beside the data, as on exFAT", "refused before users are out", "TestWhatOnlyTryingShowsIsFoundBeforeTheFence TestARestoreIsTriedBeforeAnUpdate TestARestoreOfAFileIsTriedBeforeAnUpdate TestASnapshotIsTriedBeforeAnUpdate"},

	{"a role gives two snapshots one reference", "a reference is used once", "TestFieldSnapshotReferenceIsUsedOnce"},

	{"a close command outlives its updater", "what was started is settled", "TestFieldOrphanIsSettledBeforeAnythingIsDecided TestFieldCommandsOfADeadUpdaterAreSettledFirst TestFieldOpenSettlesWhatADeadProcessLeft TestNothingEndsAnUpdateInAnyStep TestSoakFieldActions"},
	{"the installer died in its first moment", "a verdict at once", "TestFieldDeadInstallerIsAVerdictAtOnce TestFieldBundleHalfInstalledGoesBackAtOnce"},
	{"recovery waits, and neither SIGTERM nor a person helps", "no dead end", "TestFieldRecoveryThatWaitsMakesWay TestFieldWayBackThatWaitsMakesWay TestFieldRestructuringThatWaitsMakesWay TestFieldUpdateAfterARecoveryGoesOnToItsEnd TestFieldDecisionThatWaitsAsksAgain"},
	{"a process that decides is killed while it waits", "no dead end", "TestFieldDecisionOfADeadProcessStopsNoRecovery"},
	{"a process that decides is killed in what it does", "no dead end", "TestCrashAtEveryMomentOfADecision TestKilledDecision"},
	{"the journal is damaged or lost while users are kept out", "no dead end", "TestFieldOpenLetsUsersInWithNothingPending TestAClosedFenceWithNothingPendingIsFoundAndOpened TestADamagedJournalOfAPendingUpdateLeadsOut script/codes"},
	{"a closed terminal, a broken pipe, a signal, a kill of a group", "nothing but a request ends an update", "TestNothingEndsAnUpdateInAnyStep TestSoakFieldActions"},

	{"the previous Setup writes its own configuration", "a way back is compared", "TestFieldWayBackIsComparedAfterTheSetup TestFieldRevertIsComparedAfterTheSetup TestR15WhatDiffersIsKeptAndTakenByName"},
	{"a restore that does nothing", "checked, not believed", "TestFieldWayBackIsComparedAfterTheSetup"},
	{"an I/O error while what was restored is compared", "what cannot be read is no verdict", "TestFieldWhatCannotBeComparedIsNoDifference"},
	{"the database's owner opens the fence", "checked, not believed", "TestFieldFenceThatOpensByItselfIsSeen"},

	{"a command that fails when there is nothing to do", "what is so already has not failed", "TestFieldStartThatFailsBecauseItRunsIsNoFailure TestAnApplicationThatCannotBeStoppedTwice TestRehearsalNamesWhatCannotBeDoneTwice TestSwitchAsksItsStatus TestSoakFieldActions"},
	{"recovery fails each time that it is started", "a loop ends in a visible state", "TestFieldLoopOfRecoveriesEnds TestCrashLoopEndsInAVisibleState"},
	{"an installer starts the application", "the application is no installer", "TestTheApplicationOutlivesItsInstaller TestWhatIsNotTheApplicationIsWaitedFor TestSettleLeavesTheApplicationAlone TestInnoStartsTheApplication"},
	{"recover, three times, while the database starts", "looking is no attempt", "TestFieldWhatCannotBeLookedAtYetIsWaitedFor"},
	{"recovery without the server's password", "recovery needs nothing of the server", "TestTheSupportsHotfixIsAccepted"},
	{"the package manager's lock fails a rollback", "a busy installer is no attempt", "TestFieldABusyInstallerIsNoFailedAttempt"},

	{"\"users may be in\" above \"users are kept out\"", "one source of truth", "TestFieldErrorsSayOfUsersWhatTheFenceSays"},
	{"a decision cannot be recorded, the fence is open", "one source of truth", "TestFieldDecisionThatCannotBeRecordedKeepsUsersOut"},
	{"a first installation whose FullSetup creates its data", "data is not there yet", "TestFieldFirstInstallationCreatesItsData TestR3FirstInstallationCreatesItsData"},

	{"the loser of the lock exits with 4", "code and hint follow from the state", "script/codes TestBadInputOnRealServers"},
	{"a bundle whose parts have no number in common is the newest", "code and hint follow from the state", "script/contradictions"},
	{"a clock that is two hours slow, and all settles", "code and hint follow from the state", "script/contradictions"},
	{"a probe that prints a byte order mark, spaces or two lines", "code and hint follow from the state", "script/contradictions TestFirstLine"},
	{"status exits with 0 while a person must decide", "code and hint follow from the state", "script/codes"},
	{"a state directory that depends on the working directory", "refused with words", "TestUpdateThatLacksSomethingIsRefused"},
	{"the umask of the caller reaches the installer", "a child gets what was named for it", "TestChildrenHaveASaneUmask"},

	{"healthy once, and then it dies", "healthy is for a time", "TestFieldHealthyOnceIsNotHealthy"},
	{"recovery with the releases of another day", "the journal has the plan", "TestFieldRecoverNeedsOnlyTheRoles TestEmbedInAForeignModule TestEmbedIsKilled"},
}

// TestEachFieldFaultHasItsTests fails if a test of the table does not exist, or if a
// test of a field fault is not in the table.
func TestEachFieldFaultHasItsTests(t *testing.T) {
	exists := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	require.NoError(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(text, -1) {
			exists[string(m[1])] = true
		}
		return err
	}))
	seen, named := map[string]bool{}, map[string]bool{}
	for _, f := range fieldFaults {
		require.NotEmpty(t, f.kind, f.fault)
		require.False(t, seen[f.fault], f.fault)
		require.NotEmpty(t, strings.Fields(f.tests), f.fault)
		seen[f.fault] = true
		for _, name := range strings.Fields(f.tests) {
			if script, ok := strings.CutPrefix(name, "script/"); ok {
				require.FileExists(t, filepath.Join("testdata", "script", script+".txtar"), f.fault)
				continue
			}
			require.True(t, exists[name], "%s: there is no %s", f.fault, name)
			named[name] = true
		}
	}
	for name := range exists {
		require.True(t, named[name] || !strings.HasPrefix(name, "TestField"), "%s is of no field fault in the table", name)
	}
}
