//go:build !linux

package owner

// As calls run. Elsewhere than on Linux a thread has the rights of its process.
func (Owner) As(run func(ours func(func() error) error) error) error {
	return run(func(f func() error) error { return f() })
}
