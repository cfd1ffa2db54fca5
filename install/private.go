package install

import (
	"context"

	"github.com/aspupdate/aspupdate/internal/private"
)

// Private is met if no other account than this one, root, or on Windows the
// system and the administrators, can change the file or directory at path:
// itself, or by renaming one of its parents or a link on the way. What such an
// account controls must not decide what an update runs: the configuration, its
// secrets, and every program that it names. If path does not exist, its parents
// decide. With secret, no other account may read the file either: its mode must
// be 0600 or less, unless systemd made it as a credential.
func Private(path string, secret bool) Check {
	return Check{Name: "no other account can change it", Run: func(context.Context) error {
		if secret {
			return private.CheckSecret(path)
		}
		return private.Check(path)
	}}
}
