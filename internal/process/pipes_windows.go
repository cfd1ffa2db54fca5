package process

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/windows"
)

// pipes connect a child's standard files with readers and writers that are not
// files, as package os/exec does.
type pipes struct {
	delay     time.Duration // bounds the wait for what comes after the child's end
	far, near []*os.File    // the child's ends, and this process's
	copiers   []func() error
	results   chan error
}

// open returns the child's standard input, output and error.
func (p *pipes) open(cmd *exec.Cmd) (files []*os.File, err error) {
	p.delay = cmd.WaitDelay
	in, err := p.reader(cmd.Stdin)
	if err != nil {
		return nil, err
	}
	out, err := p.writer(cmd.Stdout)
	if err != nil {
		return nil, err
	}
	if cmd.Stderr != nil && same(cmd.Stdout, cmd.Stderr) { // which is then never written to twice at a time
		return []*os.File{in, out, out}, nil
	}
	stderr, err := p.writer(cmd.Stderr)
	return []*os.File{in, out, stderr}, err
}

func same(a, b io.Writer) bool {
	defer func() { _ = recover() }() // they cannot be compared
	return a == b
}

func (p *pipes) reader(r io.Reader) (*os.File, error) {
	if f, ok := r.(*os.File); ok || r == nil {
		return p.file(f, os.O_RDONLY)
	}
	far, near, err := os.Pipe()
	p.add(far, near, func() error {
		_, err := io.Copy(near, r)
		if errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA) {
			err = nil // the child did not read all of it
		}
		return err
	})
	return far, err
}

func (p *pipes) writer(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok || w == nil {
		return p.file(f, os.O_WRONLY)
	}
	near, far, err := os.Pipe()
	p.add(far, near, func() error { _, err := io.Copy(w, near); return err })
	return far, err
}

// file returns f, or the null device if f is nil.
func (p *pipes) file(f *os.File, flag int) (_ *os.File, err error) {
	if f == nil {
		if f, err = os.OpenFile(os.DevNull, flag, 0); err == nil {
			p.far = append(p.far, f)
		}
	}
	return f, err
}

// add keeps the ends of a pipe, which are nil if it could not be made.
func (p *pipes) add(far, near *os.File, transfer func() error) {
	if far != nil {
		p.far, p.near = append(p.far, far), append(p.near, near)
		p.copiers = append(p.copiers, func() error { return errors.Join(transfer(), near.Close()) })
	}
}

func (p *pipes) copy() {
	p.results = make(chan error, len(p.copiers))
	for _, c := range p.copiers {
		go func() { p.results <- c() }()
	}
}

// wait waits until everything is copied, after the child's end for the delay at
// most: a process that it left behind may keep a pipe open.
func (p *pipes) wait() (err error) {
	late := time.After(p.delay)
	for n := len(p.copiers); n > 0; {
		select {
		case copyErr := <-p.results:
			n--
			if err == nil {
				err = copyErr
			}
		case <-late:
			p.closeNear() // which ends the copying
			if err == nil {
				err = exec.ErrWaitDelay
			}
		}
	}
	return err
}

func (p *pipes) closeFar()  { closeAll(p.far) }
func (p *pipes) closeNear() { closeAll(p.near) }

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
