package durable

import "context"

type tryingKey struct{}

// Trying returns a context for checks that may make something and remove it again. That
// shows what [Writable] cannot: a file system without owners and permissions, or
// without an inode left.
func Trying(ctx context.Context) context.Context {
	return context.WithValue(ctx, tryingKey{}, true)
}

// MayTry reports whether ctx is one of [Trying]. A check writes nothing in any other.
func MayTry(ctx context.Context) bool { return ctx.Value(tryingKey{}) != nil }
