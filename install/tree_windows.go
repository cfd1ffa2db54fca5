package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// tree is the processes of one run: those of a job object, which every
// process that the root starts belongs to. The job has no limits, so that it
// lives on when this process dies. The root inherits a handle of it, which
// keeps the job's name known to the next process.
type tree struct {
	job   windows.Handle
	cmd   *exec.Cmd
	root  int
	born  string
	ended chan struct{}
	stuck bool           // find: the root was never released
	found windows.Handle // find: of the root, if it was alive then
}

// launch starts p suspended and puts it into its job; release lets it run. It
// returns a tree exactly if something was started.
func launch(_ context.Context, p program) (*tree, error) {
	job, err := openJob(p.id)
	if err != nil {
		return nil, err
	}
	cmd := p.command()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		CmdLine:                    p.line,
		CreationFlags:              windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_NO_WINDOW,
		AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(job)},
	}
	err = windows.SetHandleInformation(job, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT)
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = windows.CloseHandle(job)
		return nil, err
	}
	t := &tree{job: job, cmd: cmd, root: cmd.Process.Pid, ended: make(chan struct{})}
	if err := t.adopt(); err != nil {
		// It has not run a single instruction yet.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.close()
		return nil, err
	}
	go func() {
		defer close(t.ended)
		_ = cmd.Wait() // its result is in cmd.ProcessState
	}()
	return t, nil
}

// adopt puts the suspended root into the job.
func (t *tree) adopt() error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(t.root)) //nolint:gosec // a process number
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	if t.born, err = birthOf(h); err != nil {
		return err
	}
	return windows.AssignProcessToJobObject(t.job, h)
}

// release lets the suspended root run: its only thread is resumed.
func (t *tree) release() error {
	thread, n, err := t.thread()
	if err == nil && n == 0 {
		err = fmt.Errorf("the thread of process %d was not found", t.root)
	}
	if err != nil {
		return err
	}
	_, err = windows.ResumeThread(thread)
	return errors.Join(err, windows.CloseHandle(thread))
}

// thread opens one of the root's threads and tells how many it has; with none
// there is nothing to close.
func (t *tree) thread() (thread windows.Handle, n int, err error) {
	snap, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = windows.CloseHandle(snap) }()
	id := uint32(0)
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(snap, &entry); err == nil; err = windows.Thread32Next(snap, &entry) {
		if int(entry.OwnerProcessID) == t.root {
			id = entry.ThreadID
			n++
		}
	}
	if n == 0 {
		return 0, 0, nil
	}
	thread, err = windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, id)
	return thread, n, err
}

// suspendThread is SuspendThread, which returns how often the thread was
// suspended before.
var suspendThread = windows.NewLazySystemDLL("kernel32.dll").NewProc("SuspendThread")

// unreleased reports whether the root of an earlier process's run still waits
// for its first instruction, because that process died just before it let it
// run. A program at work is only paused for the time of this look.
func (t *tree) unreleased() bool {
	if alive, err := t.countRoot(); alive == 0 || err != nil {
		return false
	}
	thread, n, err := t.thread()
	if n == 0 || err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(thread) }()
	if n > 1 {
		return false // it has started others
	}
	before, _, _ := suspendThread.Call(uintptr(thread))
	if int32(before) < 0 { //nolint:gosec // 32 bits: -1 is a failure
		return false
	}
	_, _ = windows.ResumeThread(thread)
	return before > 0
}

// find returns the tree of a run that another process started. Where nothing
// of it lives the job is a new, empty one.
func find(rec record) (*tree, error) {
	job, err := openJob(rec.ID)
	if err != nil {
		return nil, err
	}
	// The number is recorded before the root is released.
	t := &tree{job: job, root: rec.PID, born: rec.Birth}
	t.stuck = rec.PID == 0 || t.unreleased()
	if n, err := t.countRoot(); err == nil && n == 1 && t.root != 0 {
		h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(t.root)) //nolint:gosec // a process number
		if err == nil {
			// Nobody has the number anew as long as this is open.
			if born, err := birthOf(h); err == nil && born == t.born {
				t.found = h
			} else {
				_ = windows.CloseHandle(h)
			}
		}
	}
	return t, nil
}

func (t *tree) pid() int                { return t.root }
func (t *tree) birth() string           { return t.born }
func (t *tree) frozen() bool            { return t.stuck }
func (t *tree) exited() <-chan struct{} { return t.ended }

func (t *tree) close() {
	_ = windows.CloseHandle(t.job)
	if t.found != 0 {
		_ = windows.CloseHandle(t.found)
	}
}

// foundCode is the exit code of a root that find found alive, once it has
// ended.
func (t *tree) foundCode() (code uint32, ok bool) {
	if t.found == 0 {
		return 0, false
	}
	if event, err := windows.WaitForSingleObject(t.found, 0); err != nil || event != windows.WAIT_OBJECT_0 {
		return 0, false
	}
	return code, windows.GetExitCodeProcess(t.found, &code) == nil
}

// result tells how the root ended; ok is false while it has not.
func (t *tree) result() (code uint32, signaled, ok bool) {
	select {
	case <-t.ended:
	default:
		return 0, false, false
	}
	if t.cmd.ProcessState == nil {
		return 0, false, false
	}
	return uint32(t.cmd.ProcessState.ExitCode()), false, true //nolint:gosec // 32 bits in any case
}

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	times      [4]int64
	faults     uint32
	total      uint32
	active     uint32
	terminated uint32
}

// count tells how many processes of the tree are alive.
func (t *tree) count() (int, error) {
	var a accounting
	err := windows.QueryInformationJobObject(t.job, windows.JobObjectBasicAccountingInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
	return int(a.active), err
}

// countRoot is 1 while the installer itself is alive. A number that another
// process has by now is told by the time of its birth.
func (t *tree) countRoot() (int, error) {
	if t.root == 0 {
		return t.count()
	}
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(t.root)) //nolint:gosec // a process number
	if err != nil {
		return 0, nil
	}
	defer func() { _ = windows.CloseHandle(h) }()
	if born, err := birthOf(h); err != nil || born != t.born {
		return 0, err
	}
	event, err := windows.WaitForSingleObject(h, 0)
	if event == uint32(windows.WAIT_TIMEOUT) {
		return 1, nil
	}
	return 0, err
}

// end kills all processes of the job.
func (t *tree) end() error {
	if err := windows.TerminateJobObject(t.job, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	cause, err := waitGone(ctx, t.count)
	if cause != nil {
		err = errors.New("processes of the installer do not end")
	}
	return err
}

// openJob makes the job of a run, or opens it where it exists. The name is
// global, because a service and a person's session have names of their own.
func openJob(id string) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(`Global\aspupdate-` + id)
	if err != nil {
		return 0, err
	}
	return windows.CreateJobObject(nil, name)
}

// birthOf tells when a process was started, in 100 ns since 1601.
func birthOf(h windows.Handle) (string, error) {
	var born, exit, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &born, &exit, &kernel, &user); err != nil {
		return "", err
	}
	return strconv.FormatUint(uint64(born.HighDateTime)<<32|uint64(born.LowDateTime), 10), nil
}

// openToOthers reports false: who may write to a folder is told by its access
// list, which it has from the folder above.
func openToOthers(fs.FileInfo) bool { return false }

// ofSomebodyElse reports false, likewise.
func ofSomebodyElse(fs.FileInfo) bool { return false }

// mkdirPrivate makes a folder for this user, administrators and the system
// alone. What it would inherit often lets every user make files, and a
// library that lies beside a program may be loaded by it.
func mkdirPrivate(dir string) error {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	list := "D:P" // nothing is inherited
	for _, who := range []string{"SY", "BA", user.User.Sid.String()} {
		list += "(A;OICI;FA;;;" + who + ")"
	}
	sd, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return err
	}
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	sa := windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(sa))
	if err := windows.CreateDirectory(path, &sa); err != nil {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}
