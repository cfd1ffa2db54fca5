package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// jobListAttribute is PROC_THREAD_ATTRIBUTE_JOB_LIST.
const jobListAttribute = 0x0002000D

// A process that the system cannot bring up is created again.
const (
	startAttempts = 3
	startInterval = 50 * time.Millisecond
)

// A child is a process that was created suspended, in a job. Package os/exec
// cannot do that: a process of its could be put into a job only afterwards,
// and would stay suspended with its files open, and could not be found, if this
// process died in between.
type child struct {
	process *os.Process
	thread  windows.Handle // its only one
	birth   string
	pipes   pipes
}

// create creates cmd's process suspended in the job. It inherits its standard
// files and a handle of the job, and nothing else.
func create(cmd *exec.Cmd, job windows.Handle) (*child, error) {
	program, err := programPath(cmd)
	if err != nil {
		return nil, err
	}
	if err := CheckBatch(program, cmd.Args[min(1, len(cmd.Args)):]); err != nil {
		return nil, err
	}
	if len(cmd.ExtraFiles) > 0 {
		return nil, fmt.Errorf("start %s with more than the standard files: %w", program, errors.ErrUnsupported)
	}
	c := &child{}
	files, err := c.pipes.open(cmd)
	defer c.pipes.closeFar()
	var handles []windows.Handle
	for _, f := range files {
		handles = append(handles, windows.Handle(f.Fd()))
	}
	if err == nil {
		err = c.create(cmd, program, append(handles, job), job)
	}
	if err != nil {
		c.pipes.closeNear()
		return nil, &fs.PathError{Op: "start", Path: program, Err: err}
	}
	c.pipes.copy()
	return c, nil
}

// create calls CreateProcess. The first three of inherit are the standard
// files.
func (c *child) create(cmd *exec.Cmd, program string, inherit []windows.Handle, job windows.Handle) error {
	self := windows.CurrentProcess()
	handles := make([]windows.Handle, len(inherit))
	for i, h := range inherit {
		if err := windows.DuplicateHandle(self, h, self, &handles[i], 0, true, windows.DUPLICATE_SAME_ACCESS); err != nil {
			return err
		}
		defer func() { _ = windows.CloseHandle(handles[i]) }()
	}
	attributes, err := windows.NewProcThreadAttributeList(2)
	if err != nil {
		return err
	}
	defer attributes.Delete()
	if err := attributes.Update(windows.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, unsafe.Pointer(&handles[0]), uintptr(len(handles))*unsafe.Sizeof(job)); err != nil {
		return err
	}
	if err := attributes.Update(jobListAttribute, unsafe.Pointer(&job), unsafe.Sizeof(job)); err != nil {
		return err
	}
	path, err := windows.UTF16PtrFromString(program)
	if err != nil {
		return err
	}
	line, err := windows.UTF16PtrFromString(commandLine(cmd))
	if err != nil {
		return err
	}
	var dir *uint16
	if cmd.Dir != "" {
		if dir, err = windows.UTF16PtrFromString(cmd.Dir); err != nil {
			return err
		}
	}
	env, err := envBlock(cmd.Environ())
	if err != nil {
		return err
	}
	startup := windows.StartupInfoEx{ProcThreadAttributeList: attributes.List()}
	startup.Cb = uint32(unsafe.Sizeof(startup))
	startup.Flags = windows.STARTF_USESTDHANDLES
	startup.StdInput, startup.StdOutput, startup.StdErr = handles[0], handles[1], handles[2]
	const flags = windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_NO_WINDOW |
		windows.CREATE_UNICODE_ENVIRONMENT | windows.EXTENDED_STARTUPINFO_PRESENT
	var info windows.ProcessInformation
	for try := 1; ; try++ {
		err := durable.WhileInUse(func() error { // a virus scanner may hold a fresh program
			return windows.CreateProcess(path, line, nil, nil, true, flags, &env[0], dir, &startup.StartupInfo, &info)
		})
		if err == nil {
			break
		}
		// The system could not bring the process up, which happens under Wine on
		// a busy machine. Nothing of it ran.
		if try == startAttempts || !errors.Is(err, windows.ERROR_INTERNAL_ERROR) {
			return err
		}
		time.Sleep(startInterval)
	}
	defer func() { _ = windows.CloseHandle(info.Process) }()
	c.thread = info.Thread
	if c.birth, err = birthOf(info.Process); err == nil {
		c.process, err = os.FindProcess(int(info.ProcessId))
	}
	if err != nil { // it has not run a single instruction yet
		_ = windows.TerminateProcess(info.Process, 1)
		_ = windows.CloseHandle(info.Thread)
	}
	return err
}

// wait waits for the process and its output, as [exec.Cmd.Wait] does.
func (c *child) wait() (*os.ProcessState, error) {
	state, err := c.process.Wait()
	if err == nil && !state.Success() {
		err = &exec.ExitError{ProcessState: state}
	}
	if copyErr := c.pipes.wait(); err == nil {
		err = copyErr
	}
	return state, err
}

// programPath returns the absolute path of cmd's program, with its extension.
func programPath(cmd *exec.Cmd) (string, error) {
	if cmd.Err != nil {
		return "", cmd.Err
	}
	path := cmd.Path
	switch {
	case cmd.Dir == "" || filepath.IsAbs(path) || filepath.VolumeName(path) != "":
	case os.IsPathSeparator(path[0]): // of the directory's volume
		path = filepath.VolumeName(cmd.Dir) + path
	default:
		path = filepath.Join(cmd.Dir, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return exec.LookPath(path)
}

func commandLine(cmd *exec.Cmd) string {
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.CmdLine != "" {
		return cmd.SysProcAttr.CmdLine
	}
	var args []string
	for _, a := range cmd.Args {
		args = append(args, syscall.EscapeArg(a))
	}
	return strings.Join(args, " ")
}

// envBlock returns the environment in the form of CreateProcess, sorted by
// name as Windows expects it.
func envBlock(env []string) ([]uint16, error) {
	name := func(kv string) string {
		n, _, _ := strings.Cut(kv[min(1, len(kv)):], "=") // a name may begin with =
		return strings.ToUpper(kv[:min(1, len(kv))] + n)
	}
	env = slices.SortedStableFunc(slices.Values(env), func(a, b string) int { return cmp.Compare(name(a), name(b)) })
	var block []uint16
	for _, kv := range env {
		if strings.ContainsRune(kv, 0) {
			return nil, syscall.EINVAL
		}
		block = append(block, utf16.Encode([]rune(kv+"\x00"))...)
	}
	if len(block) == 0 {
		block = append(block, 0)
	}
	return append(block, 0), nil
}
