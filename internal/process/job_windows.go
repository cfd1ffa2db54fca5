package process

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// jobName returns the name of a tree's job. It is global, because a service and a
// person's session have separate names.
func jobName(mark string) (*uint16, error) {
	name, err := windows.UTF16PtrFromString(`Global\aspupdate-` + mark)
	if err != nil {
		return nil, fmt.Errorf("invalid mark of a process tree: %w", err)
	}
	return name, nil
}

// makeJob makes the job of a tree, for this user, administrators and the system
// alone. One that exists already is another's.
func makeJob(mark string) (windows.Handle, error) {
	name, err := jobName(mark)
	if err != nil {
		return 0, err
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return 0, err
	}
	list := "O:" + user.User.Sid.String() + "D:P"
	for _, who := range []string{"SY", "BA", user.User.Sid.String()} {
		list += "(A;;GA;;;" + who + ")"
	}
	sd, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return 0, err
	}
	sa := windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(sa))
	// Package windows does not pass on that the name was in use.
	h, _, err := createJobObject.Call(uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(name)))
	switch {
	case h == 0:
		return 0, fmt.Errorf("make a job object: %w", err)
	case errors.Is(err, windows.ERROR_ALREADY_EXISTS):
		_ = windows.CloseHandle(windows.Handle(h))
		return 0, errors.New("a job object of the same name exists, which is another's")
	}
	return windows.Handle(h), nil
}

var (
	kernel32        = windows.NewLazySystemDLL("kernel32.dll")
	createJobObject = kernel32.NewProc("CreateJobObjectW")
	openJobObject   = kernel32.NewProc("OpenJobObjectW")
	suspendThread   = kernel32.NewProc("SuspendThread") // returns how often the thread was suspended before
)

// openJob opens the job of a tree, and returns 0 if it is gone: nothing of the tree
// lives that is known to belong to it. Job objects that others made do not count:
// who sees a name can use it again once it is free.
func openJob(mark string) (windows.Handle, error) {
	name, err := jobName(mark)
	if err != nil {
		return 0, err
	}
	const jobAllAccess = 0x1F001F
	h, _, err := openJobObject.Call(jobAllAccess, 0, uintptr(unsafe.Pointer(name)))
	switch {
	case h == 0 && (errors.Is(err, windows.ERROR_FILE_NOT_FOUND) || errors.Is(err, windows.ERROR_INVALID_NAME)):
		return 0, nil
	case h == 0:
		return 0, fmt.Errorf("open the job object of a process tree: %w", err)
	}
	job := windows.Handle(h)
	ours, err := madeByUs(job)
	if err != nil || !ours {
		_ = windows.CloseHandle(job)
		return 0, err
	}
	return job, nil
}

// madeByUs reports whether this user, an administrator or the system made the object.
func madeByUs(h windows.Handle) (bool, error) {
	sd, err := windows.GetSecurityInfo(h, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return false, fmt.Errorf("read the owner of a job object: %w", err)
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return false, fmt.Errorf("read the owner of a job object: %w", err)
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return false, err
	}
	return owner.Equals(user.User.Sid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.IsWellKnown(windows.WinLocalSystemSid), nil
}

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	user, kernel, periodUser, periodKernel int64 // in 100 ns
	faults, total, active, terminated      uint32
}

func (t *Tree) accounting() (a accounting, err error) {
	if t.job == 0 {
		return a, nil
	}
	err = windows.QueryInformationJobObject(t.job, windows.JobObjectBasicAccountingInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
	return a, err
}

// count returns how many processes of the tree have not ended. A job counts some
// that have: under Wine one whose creator was killed while it created it, for ever.
func (t *Tree) count() (int, error) {
	t.kept.Lock()
	defer t.kept.Unlock()
	a, err := t.accounting()
	if err == nil && a.total != t.kept.total {
		t.kept.total = a.total
		t.kept.give(t.job)
	}
	if err != nil || a.active == 0 {
		return 0, err
	}
	pids, err := jobPIDs(t.job)
	return len(slices.DeleteFunc(pids, hasEnded)), err
}

// hasEnded reports whether the process of a job is known to have ended.
func hasEnded(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid)) //nolint:gosec // a process number
	if err != nil {
		return errors.Is(err, windows.ERROR_INVALID_PARAMETER) // no process has this number
	}
	defer func() { _ = windows.CloseHandle(h) }()
	event, err := windows.WaitForSingleObject(h, 0)
	return err == nil && event == windows.WAIT_OBJECT_0
}

// jobPIDs lists the processes of a job.
func jobPIDs(job windows.Handle) (pids []int, err error) {
	if job == 0 {
		return nil, nil
	}
	for room := 64; ; room *= 4 {
		// JOBOBJECT_BASIC_PROCESS_ID_LIST: two counts of 32 bits, and the numbers.
		list := make([]uintptr, 1+room)
		err := windows.QueryInformationJobObject(job, windows.JobObjectBasicProcessIdList,
			uintptr(unsafe.Pointer(&list[0])), uint32(uintptr(len(list))*unsafe.Sizeof(list[0])), nil) //nolint:gosec // at most 2 MB
		if errors.Is(err, windows.ERROR_MORE_DATA) && room < 1<<16 {
			continue
		}
		if err != nil {
			return nil, err
		}
		n := (*[2]uint32)(unsafe.Pointer(&list[0]))[1]
		for _, pid := range list[8/unsafe.Sizeof(list[0]):][:n] {
			pids = append(pids, int(pid))
		}
		return pids, nil
	}
}

// keepInterval is the time between two searches for new processes of a tree.
const keepInterval = 100 * time.Millisecond

// A keeper keeps the name of a job known as long as a process of it lives: Windows
// forgets the name with the last handle, though the processes live on. So each of
// them gets a handle, and a later process can find those whose root has ended, too.
// It also guards the handle of this process.
type keeper struct {
	sync.Mutex
	total uint32       // processes that the job had so far
	given map[int]bool // the numbers of those that have a handle
}

// give gives a handle to the processes that have none. One that cannot be given one,
// because it is just starting or ending, is one that the others keep findable.
func (k *keeper) give(job windows.Handle) {
	pids, _ := jobPIDs(job)
	given := map[int]bool{}
	for _, pid := range pids {
		given[pid] = k.given[pid]
		if given[pid] {
			continue
		}
		h, err := windows.OpenProcess(windows.PROCESS_DUP_HANDLE, false, uint32(pid)) //nolint:gosec // a process number
		if err != nil {
			continue
		}
		var theirs windows.Handle
		err = windows.DuplicateHandle(windows.CurrentProcess(), job, h, &theirs, 0, false, windows.DUPLICATE_SAME_ACCESS)
		given[pid] = err == nil
		_ = windows.CloseHandle(h)
	}
	k.given = given
}

// Work returns how long the processors worked for the tree so far.
func (t *Tree) Work() (time.Duration, error) {
	t.kept.Lock()
	defer t.kept.Unlock()
	a, err := t.accounting()
	return time.Duration(a.user+a.kernel) * 100 * time.Nanosecond, err
}
