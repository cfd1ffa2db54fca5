//go:build !linux

package tree

import "os"

// Attrs returns nothing: access control lists and streams are not read here.
func Attrs(*os.File) (map[string]string, error) { return nil, nil }

// CopyLabel does nothing: there are no labels.
func CopyLabel(*Root, string, *Root, string) error { return nil }

// SetAttrs fails if there is anything to set: another system has recorded it.
func SetAttrs(f *os.File, attrs map[string]string) error {
	for name := range attrs {
		return &os.PathError{Op: "set the attribute " + name + " of", Path: f.Name(), Err: os.ErrInvalid}
	}
	return nil
}
