// Package process starts programs and keeps track of everything that they
// start: installers, backup commands, the operator's commands.
//
// A [Tree] is a started command together with its children, their children,
// and so on, also when one of them has left its parent or its session.
//
//	rec := process.NewRecord()
//	tree, err := process.Start(cmd, rec, save) // save makes the record durable
//	...
//	defer tree.Close()
//	err = tree.Wait(ctx) // until the last process has ended
//	err = tree.End()     // or kill them all
//
// # Start
//
// [Start] saves the record before the command exists, and again with the
// PID of the root (the process that was started): if this process dies in
// between, the ID and the secret are enough to find the tree. On Windows the root is created
// suspended, inside its job object, and runs its first instruction after it
// was recorded.
//
// # Find
//
// The processes outlive this one. [Find] returns the tree of a [Record] that
// an earlier process saved; it can be waited for and ended like any other. A
// process is identified by its PID and its birth, never by its PID
// alone: PIDs are used again, after a restart of the machine as well. It is
// signaled through a handle, which holds on to the process and not the PID.
//
// # What belongs to a tree
//
// On Windows a job object holds every process that a member starts. On Linux a
// control group (version 2) does, where this process may make one. Without a
// control group a process belongs to the tree if it carries the tree's secret in
// its environment, is in the root's session, or descends from a member; one that
// escaped all three is lost. No other user's process can join a tree or pretend to
// be one: the secret is in a file and in environments that others cannot read, the
// job object has an access list, and one that another user made does not count. Elsewhere a tree is the root's process group: it
// can be ended, but neither listed nor found again.
//
// # Short forms
//
// [Do] runs a command to its end and ends its whole tree with the context.
// [Run] does so with a command of the operator's, and returns the end of its
// output with the error. Run, and Do with a context of [Recorded], record each command
// in a directory while it runs. [Settle] waits for those that a process left there
// when it died, or ends those whose time is up: call it before anything is decided by
// what they may change.
//
// # What children get
//
// A child gets the environment that was named for it, or [BaseEnv]. On Linux its
// umask is 022, and it inherits no descriptor but the standard files. Standard input
// is empty unless it was given. What runs to its end gets a directory of its own for
// temporary files; a command of the operator's does not, because a service that it
// starts would keep the name of a directory that is gone.
package process
