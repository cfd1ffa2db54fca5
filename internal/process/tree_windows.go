package process

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A Tree is a program together with everything that it starts: the processes
// of a job object.
type Tree struct{ job windows.Handle }

// Start starts cmd in a group of its own, out of reach of a Ctrl-C, and
// without a window. The caller waits for cmd, and closes the tree after that.
func Start(cmd *exec.Cmd) (*Tree, error) {
	_ = mark(cmd) // for a person who looks whose process it is
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	t := &Tree{job: job}
	// Suspended, so that it starts nothing before it is in the job.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_NO_WINDOW,
	}
	if err := cmd.Start(); err != nil {
		t.Close()
		return nil, err
	}
	if err := t.adopt(uint32(cmd.Process.Pid)); err != nil { //nolint:gosec // a process number
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Close()
		return nil, err
	}
	return t, nil
}

// adopt puts the suspended program into the job and lets it run.
func (t *Tree) adopt(pid uint32) error {
	p, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, pid)
	if err != nil {
		return err
	}
	err = windows.AssignProcessToJobObject(t.job, p)
	if err = errors.Join(err, windows.CloseHandle(p)); err != nil {
		return err
	}
	snap, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(snap) }()
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(snap, &entry); err == nil; err = windows.Thread32Next(snap, &entry) {
		if entry.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return err
		}
		_, err = windows.ResumeThread(thread)
		return errors.Join(err, windows.CloseHandle(thread))
	}
	return fmt.Errorf("the thread of process %d was not found: %w", pid, err)
}

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	times                             [4]int64
	faults, total, active, terminated uint32
}

// Kill ends every process of the tree.
func (t *Tree) Kill() error {
	if err := windows.TerminateJobObject(t.job, 1); err != nil {
		return err
	}
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		var a accounting
		err := windows.QueryInformationJobObject(t.job, windows.JobObjectBasicAccountingInformation,
			uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
		switch {
		case err != nil:
			return err
		case a.active == 0:
			return nil
		case time.Since(begun) > endLimit:
			return errors.New("some processes do not end: end them by hand")
		}
	}
}

// Close gives up what the system holds for the tree. Processes of it that are
// alive stay so.
func (t *Tree) Close() { _ = windows.CloseHandle(t.job) }
