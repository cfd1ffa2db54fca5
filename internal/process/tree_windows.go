package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// system is how Windows knows a tree: by a job object, which every process
// that a member starts belongs to. The job has no limits, so that its processes
// outlive this one. The root inherits a handle of it, and the others are given
// one, which keeps the job's name known to the next process.
type system struct {
	job       windows.Handle // 0 after Find if the job is gone
	kept      keeper         // of the job's name
	child     *child         // nil after Find
	suspended bool           // Find: the root never ran
	found     windows.Handle // Find: of the root, if it was alive then
}

// findable returns an error where a tree cannot be listed and found again.
func findable() error { return nil }

// groupPath returns "": control groups are Linux's.
func groupPath(string) string { return "" }

// start creates cmd suspended in its job; release lets it run.
func start(cmd *exec.Cmd, rec Record) (*Tree, error) {
	job, err := makeJob(rec.mark())
	if err != nil {
		return nil, err
	}
	c, err := create(prepare(cmd, rec.mark()), job)
	if err != nil {
		_ = windows.CloseHandle(job)
		return nil, err
	}
	rec.PID, rec.Birth = c.process.Pid, c.birth
	t := &Tree{rec: rec, system: system{job: job, child: c}, ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		t.state, t.err = c.wait()
	}()
	go func() { // until the root has ended; then who waits for the others does it
		for {
			select {
			case <-t.ended:
				return
			case <-time.After(keepInterval):
				_, _ = t.count()
			}
		}
	}()
	return t, nil
}

// release lets the suspended root run.
func (t *Tree) release() error {
	_, err := windows.ResumeThread(t.child.thread)
	return errors.Join(err, windows.CloseHandle(t.child.thread))
}

// find opens the job of rec, which is gone where nothing of it lives.
func find(rec Record) (*Tree, error) {
	job, err := openJob(rec.mark())
	if err != nil {
		return nil, err
	}
	t := &Tree{rec: rec, system: system{job: job}}
	// The number is recorded before the root is released.
	t.suspended = rec.PID == 0 || t.unreleased()
	if rec.PID == 0 {
		return t, nil
	}
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(rec.PID)) //nolint:gosec // a process number
	if err != nil {
		return t, nil //nolint:nilerr // it has ended
	}
	// No other process gets the number as long as this is open.
	if birth, err := birthOf(h); err == nil && birth == rec.Birth && running(h) {
		t.found = h
	} else {
		_ = windows.CloseHandle(h)
	}
	return t, nil
}

// unreleased reports whether the root still waits for its first instruction,
// because the process that created it died just before it released it. A
// running program is paused only for the moment of the check.
func (t *Tree) unreleased() bool {
	if alive, err := t.RootAlive(); !alive || err != nil {
		return false
	}
	id, n, err := threadOf(uint32(t.rec.PID)) //nolint:gosec // a process number
	if n != 1 || err != nil {
		return false // it has started others
	}
	thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, id)
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(thread) }()
	before, _, _ := suspendThread.Call(uintptr(thread))
	if int32(before) < 0 { //nolint:gosec // 32 bits: -1 is a failure
		return false
	}
	_, _ = windows.ResumeThread(thread)
	return before > 0
}

// threadOf returns one of a process's threads and how many it has.
func threadOf(pid uint32) (id uint32, n int, err error) {
	snap, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = windows.CloseHandle(snap) }()
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(snap, &entry); err == nil; err = windows.Thread32Next(snap, &entry) {
		if entry.OwnerProcessID == pid {
			id = entry.ThreadID
			n++
		}
	}
	return id, n, nil
}

// Suspended reports whether the root of a tree that was found never ran,
// because the process that started it died too early: End the tree then.
func (t *Tree) Suspended() bool { return t.suspended }

// Close frees what the system holds for the tree. Processes of it live on.
func (t *Tree) Close() {
	t.kept.Lock()
	defer t.kept.Unlock()
	if t.job != 0 {
		_ = windows.CloseHandle(t.job)
		t.job = 0
	}
	if t.found != 0 {
		_ = windows.CloseHandle(t.found)
	}
}

func exitOf(state *os.ProcessState) Exit {
	return Exit{Code: uint32(state.ExitCode())} //nolint:gosec // 32 bits in any case
}

func (t *Tree) foundExit() (Exit, bool) {
	if t.found == 0 || running(t.found) {
		return Exit{}, false
	}
	var code uint32
	err := windows.GetExitCodeProcess(t.found, &code)
	return Exit{Code: code}, err == nil
}

// RootAlive reports whether the root lives.
func (t *Tree) RootAlive() (bool, error) {
	if t.rec.PID == 0 {
		return t.Alive()
	}
	return Member{PID: t.rec.PID, Birth: t.rec.Birth}.Alive(), nil
}

// Members lists the living processes of the tree.
func (t *Tree) Members() ([]Member, error) {
	t.kept.Lock()
	defer t.kept.Unlock()
	pids, err := jobPIDs(t.job)
	var members []Member
	for _, pid := range pids {
		if m, ok := Lookup(pid); ok {
			members = append(members, m)
		}
	}
	return members, err
}

// End kills all processes of the tree, and returns once they have ended. It may
// be called again.
func (t *Tree) End() error {
	t.kept.Lock()
	var err error
	if t.job != 0 {
		err = windows.TerminateJobObject(t.job, 1)
	}
	t.kept.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	cause, err := Poll(ctx, t.Alive)
	if cause != nil {
		left, _ := t.Members()
		err = survivors(left)
	}
	return err
}
