// Package service stops and starts the application's service, with its
// autostart, so that an update can close users out by it: a unit of systemd or
// a service of Windows.
//
//	asp := &service.Service{Name: "asp", Dir: "/var/lib/aspupdate/services"}
//	err := asp.Close(ctx) // what was is recorded in Dir; autostart off, stopped
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
// for the probe and leaves its autostart off. Users can get in then, unless
// something else, such as the database, closes them out.
//
// # Off
//
// With its autostart off a service is not started by a restart of the machine:
// a unit is disabled, a service of Windows set to manual (not to disabled: an
// installer that starts its service would fail). Close fails with
// [ErrDependents] where a unit, service, socket or timer would start the
// service all the same, or would be stopped together with it. Put those before
// it into a Group.
//
// Stopped means that the processes have ended: on Linux those in the unit's
// control group, on Windows the service's own and those that it has started.
// This package kills nothing; systemd does when a unit's TimeoutStopSec has
// passed. A service that is started must stay running for a while.
//
// # Limits
//
// Elsewhere, and on a Linux without systemd, everything fails with
// [errors.ErrUnsupported]. Changing a service requires the rights of an
// administrator; querying does not. The tests run with a real systemd, as a
// user's service manager, and with real services of Windows under Wine, not yet
// on Microsoft's Windows; Wine neither knows delayed autostart nor lists
// dependents, so these two were NOT run on Windows. Units that an [Install]
// section names in Also= are enabled and disabled together with it. Triggers of
// Windows (such as the arrival of an address) and scheduled tasks are not
// considered.
package service
