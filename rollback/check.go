package rollback

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// Check returns a refusal if a role is missing, a name is given twice, or a
// directory is inside another that must not be. It calls no role and writes
// nothing; Plan and Run call it first.
func (u *Update) Check() error {
	if err := u.checkRoles(); err != nil {
		return err
	}
	for _, p := range u.Parts {
		switch {
		case p.To.Version == "":
			return refuse(ReasonSetup, p.Name, "no version to install is given")
		case p.Setup.Version != "" && p.Setup.Version != p.To.Version:
			return refuse(ReasonSetup, p.Name, "Setup has version %s, and version %s is to be installed", p.Setup.Version, p.To.Version)
		}
	}
	return nil
}

// checkRoles checks what recovery needs as well: all but the releases, which the
// journal has.
func (u *Update) checkRoles() error {
	switch {
	case u.Dir == "":
		return refuse(ReasonSetup, "", "no state directory is given")
	case !filepath.IsAbs(u.Dir):
		return u.relative()
	case len(u.Parts) == 0:
		return refuse(ReasonSetup, "", "no parts are given")
	case u.Fence == nil:
		return refuse(ReasonSetup, "", "no fence is given").then("use NoFence with a reason to go without one")
	case u.Window == nil:
		return refuse(ReasonSetup, "", "no window is given").then("use AnyTime with a reason to go without R13")
	}
	for _, o := range u.overrides() {
		if strings.TrimSpace(o.Reason) == "" {
			return refuse(ReasonSetup, "", "leaving out %s needs a reason", o.Rule)
		}
	}
	seen := map[string]bool{}
	for _, p := range u.Parts {
		switch {
		case p.Name == "" || seen[p.Name]:
			return refuse(ReasonSetup, p.Name, "every part needs a name that no other part has")
		case p.Installer == nil || p.Probe == nil:
			return refuse(ReasonSetup, p.Name, "a part needs an installer and a probe")
		}
		seen[p.Name] = true
	}
	if err := u.checkData(); err != nil {
		return err
	}
	if err := u.checkMigrations(); err != nil {
		return err
	}
	return u.checkDirectories()
}

func (u *Update) relative() *Error {
	return refuse(ReasonSetup, "", "the state directory %q is not absolute: after a change of the working directory it would be another one", u.Dir)
}

// checkData refuses an update without data to restore (R9).
func (u *Update) checkData() error {
	switch {
	case len(u.Data) > 0 && u.NoData != "":
		return refuse(ReasonSetup, "", "both Data and NoData are given")
	case len(u.Data) == 0 && u.NoData == "" && slices.ContainsFunc(u.Parts, func(p Part) bool { return p.From.Version != "" }):
		return refuse(ReasonSetup, "", "R9: no data is given to be backed up").then("set NoData to a reason to go without")
	}
	seen := map[string]bool{}
	for _, d := range u.Data {
		if d.Name == "" || seen[d.Name] || d.Data == nil {
			return refuse(ReasonSetup, d.Name, "every dataset needs its data and a name that no other dataset has")
		}
		seen[d.Name] = true
	}
	return nil
}

// checkDirectories keeps what a rollback needs out of what an update replaces.
func (u *Update) checkDirectories() error {
	for _, keep := range append([]string{u.Dir}, u.Kept...) {
		for _, live := range u.Live {
			in, err := durable.Within(keep, live)
			if err != nil {
				return refuse(ReasonDirectories, "", "compare %s with %s: %w", keep, live, err)
			}
			if in {
				return refuse(ReasonDirectories, "", "%s is inside %s, which an update replaces", keep, live).then("keep archive, backups and state elsewhere")
			}
		}
	}
	return nil
}

// overrides lists the rules that are overridden explicitly.
func (u *Update) overrides() []Override {
	var list []Override
	for _, role := range []any{u.Fence, u.Window} {
		if o, ok := role.(override); ok {
			list = append(list, o.override())
		}
	}
	for _, reason := range []string{u.NoData, u.Unproven} {
		if reason != "" {
			list = append(list, Override{Rule: ruleBackup, Reason: reason})
		}
	}
	return list
}

// adoptNext is what a person does about a version that the journal does not
// know.
const adoptNext = "adopt it if it was installed by other means"

// checkPart refuses a part whose facts do not fit the machine, the journal
// or the archive.
func (u *Update) checkPart(ctx context.Context, st Status, part Part, keep bool) error {
	if was, ok := st.Committed[part.Name]; ok && !was.same(part.From) {
		return refuse(ReasonInstalled, part.Name, "the journal has %s as committed, the update starts from %s", was, part.From).then("adopt what is installed if it was changed by other means")
	}
	if q, ok := st.QuarantineOf(part.Name, part.To); ok && !keep {
		r := refuse(ReasonQuarantined, part.Name, "%s was rolled back here on %s", part.To.Version, q.Since.Format(time.DateOnly))
		r.Release = part.To
		return r.then("lift its quarantine or wait for another release")
	}
	if err := u.checkInstalled(ctx, part); err != nil || keep {
		return err
	}
	if part.From.Version != "" && part.Setup.Version != "" {
		return refuse(ReasonInstalled, part.Name, "R3: version %s is installed, and FullSetup would replace its database with the vendor's example", part.From.Version).
			then("use Setup")
	}
	return u.checkInstallers(ctx, st, part)
}

// checkInstalled refuses if the probe does not find what the update starts
// from.
func (u *Update) checkInstalled(ctx context.Context, part Part) error {
	got, err := u.probe(ctx, part)
	if part.From.Version == "" {
		_, removes := part.Installer.(remover)
		switch {
		case err != nil:
			return refuse(ReasonInstalled, part.Name, "R3: cannot find out whether nothing is installed: %w", err)
		case got != "":
			return refuse(ReasonInstalled, part.Name, "R3: version %s is installed already, this is not a first installation", got)
		case !removes:
			return refuse(ReasonSetup, part.Name, "a first installation needs an installer that can remove: removing is its only rollback")
		}
		return nil
	}
	switch {
	case err != nil:
		return refuse(ReasonInstalled, part.Name, "the installed version %s is not healthy: %w", part.From.Version, err).then("repair it first")
	case got != part.From.Version:
		return refuse(ReasonInstalled, part.Name, "version %q is installed, the update starts from %s", got, part.From.Version).then(adoptNext)
	}
	return nil
}

// checkInstallers re-reads from the archive what is installed now and what is
// to be installed.
func (u *Update) checkInstallers(ctx context.Context, st Status, part Part) error {
	ready := func(r Release) error {
		return u.within(ctx, u.Deadlines.snapshot(), func(ctx context.Context) error { return part.Installer.Ready(ctx, r) })
	}
	if part.From.Version != "" {
		if err := ready(part.From); err != nil {
			return refuse(ReasonPrevious, part.Name, "R10: the Setup of the installed version %s is needed for a rollback: %w", part.From.Version, err)
		}
		if err := u.checkVouched(ctx, st, part, part.From); err != nil {
			return err
		}
	}
	for _, r := range []Release{part.To, part.Setup} {
		if r.Version == "" {
			continue
		}
		if err := ready(r); err != nil {
			return refuse(ReasonInstaller, part.Name, "the installer of %s: %w", r.Version, err)
		}
	}
	return nil
}

// checkVouched refuses a release to go back to whose hash is neither in the
// journal nor vouched for now: who can write to the archive could have put it
// there.
func (u *Update) checkVouched(ctx context.Context, st Status, part Part, r Release) error {
	v, ok := part.Installer.(voucher)
	if !ok || r.SHA256 != "" && slices.ContainsFunc(st.Uses(), func(use InUse) bool {
		return use.Part == part.Name && use.Use != useQuarantined && use.Release.Version == r.Version && use.Release.SHA256 == r.SHA256
	}) {
		return nil
	}
	if err := u.within(ctx, u.Deadlines.snapshot(), func(ctx context.Context) error { return v.Vouched(ctx, r) }); err != nil {
		return refuse(ReasonPrevious, part.Name, "R10: nothing vouches for the archived Setup of %s: %w", r.Version, err)
	}
	return nil
}

// checkWindow refuses if the window is closed now.
func (u *Update) checkWindow(ctx context.Context) error {
	if err := u.Window.Fits(ctx, u.now()); err != nil {
		return refuse(ReasonWindow, "", "R13: %w", err)
	}
	return nil
}

// checkSnapshots reads snapshots back from the disk, Parallel at a time: users may be out. The first
// failure ends the others; the error is that of the first dataset that has failed itself. Data that was
// absent has no snapshot.
func (u *Update) checkSnapshots(ctx context.Context, refs map[string]string, absent map[string]bool) error {
	data := slices.DeleteFunc(slices.Clone(u.Data), func(d Dataset) bool { return absent[d.Name] })
	errs := make([]error, len(data))
	together, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u.each(len(data), func(i int) {
		if errs[i] = context.Cause(together); errs[i] != nil {
			return // another one failed
		}
		errs[i] = errEnded
		errs[i] = u.within(together, u.Deadlines.snapshot(), func(ctx context.Context) error { return data[i].Data.Verify(ctx, refs[data[i].Name]) })
		if errs[i] != nil {
			cancel(errAnother)
		}
	})
	failed := slices.IndexFunc(errs, func(err error) bool { return err != nil && !canceled(err) })
	if failed < 0 {
		failed = slices.IndexFunc(errs, func(err error) bool { return err != nil })
	}
	if failed < 0 {
		return nil
	}
	d := data[failed]
	return refuse(ReasonBackup, d.Name, "R9: the snapshot %s: %w", refs[d.Name], errs[failed])
}
