// Package service stops and starts the application's service, with its
// autostart, so that an update can keep users out by it: a unit of systemd or
// a service of Windows.
//
//	asp := service.Service{Name: "asp", Dir: "/var/lib/aspupdate/services"}
//	err := asp.Close(ctx) // what was is kept in Dir; autostart off, stopped
//	...
//	err = asp.Open(ctx) // as it was
//
// # What comes back
//
// Before anything is changed, what was found is written to a file in Dir and
// synced: whether the service ran, and how it starts (enabled, disabled,
// masked; automatic, delayed, manual, disabled). Whatever happens after that,
// a killed process and a power cut included, a later call of Open or Start
// brings exactly that back: a service that was stopped or disabled before
// stays so. Calls may be repeated; a second Close keeps what the first found.
//
// # Roles
//
// A [Service] and a [Group] have the methods of an update's fence (Close and
// Open) and of its application (Stop and Start). Use the service that lets
// users in, such as a web server, as the fence, and the one behind it as the
// application. One service may be both: between Close and Open, Start runs it
// for the probe, and leaves its autostart off. Users are in then, unless
// something else, such as the database, keeps them out.
//
// [Probe] is a probe of an application that counts only while its service
// runs.
//
// # Off
//
// Autostart off means that a restart of the machine does not start the
// service: a unit is disabled, a service of Windows set to manual (not to
// disabled: an installer that starts its service would fail). Closing refuses,
// as [ErrDependents], where something else would start it all the same, or
// would be stopped with it unasked: a unit or service that needs it, a socket
// or a timer. Put those before it into a Group.
//
// Stopped means that the processes have ended: on Linux those in the unit's
// control group, on Windows the service's own and those that it had started.
// Nothing is killed here beyond what systemd kills by itself when a unit's
// TimeoutStopSec has passed; what stays is [ErrStays], and the error says what
// to do. A service that is started must stay running for a while ([ErrDied]).
//
// # Limits
//
// Elsewhere, and on a Linux that systemd does not run, all is
// [errors.ErrUnsupported]. Rights to change services are needed, but to look.
// Tested with a real systemd, as a user's service manager, and with real
// services of Windows under Wine, not yet on a Windows of Microsoft's; that Wine
// neither knows delayed autostart nor lists dependents, so these two were NOT
// run on Windows. Units that an [Install] section names in Also= are enabled
// and disabled together with it. Triggers of Windows (such as the arrival of an
// address) are not looked at, nor is what a person's scheduled task starts.
package service
