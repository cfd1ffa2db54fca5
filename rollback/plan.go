package rollback

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Plan is what a run would do. Making one writes nothing.
type Plan struct {
	Parts     []PlanPart `json:"parts"`
	Data      []string   `json:"data"`                // datasets that are backed up (R9)
	Overrides []Override `json:"overrides,omitempty"` // rules left out by name
	Slot      Slot       `json:"slot"`                // R13; zero with [AnyTime]
	Needs     []Need     `json:"needs,omitempty"`     // room per volume, summed
	Steps     []PlanStep `json:"steps"`               // what a run does, in order, if nothing fails
	Hash      string     `json:"hash"`                // over what a run must find unchanged
}

// A PlanPart is one part of a plan.
type PlanPart struct {
	Name string  `json:"name"`
	From Release `json:"from"` // zero for a first installation
	To   Release `json:"to"`
	// Setup is what is committed in To's place: see Part.
	Setup Release `json:"setup,omitzero"`
	Keep  bool    `json:"keep,omitempty"` // it has its version already and is only probed
}

// commits returns what the journal has as committed once the part is.
func (p PlanPart) commits() Release {
	if p.Setup.Version != "" {
		return p.Setup
	}
	return p.To
}

// first reports whether nothing is installed before the update.
func (p Plan) first() bool {
	return !slices.ContainsFunc(p.Parts, func(pp PlanPart) bool { return pp.From.Version != "" })
}

// alike names a part whose version stays while its installer changes, as
// that of a re-release does (R13): no probe can tell whether it was installed.
func (p Plan) alike() string {
	i := slices.IndexFunc(p.Parts, func(pp PlanPart) bool { return !pp.Keep && pp.From.Version == pp.To.Version })
	if i < 0 {
		return ""
	}
	return p.Parts[i].Name
}

// A PlanStep is one step of a plan.
type PlanStep struct {
	Step Step   `json:"step"`
	Part string `json:"part,omitempty"`
}

// Unauthenticated returns the names of the parts whose installer nobody
// vouched for.
func (p Plan) Unauthenticated() []string {
	var names []string
	for _, part := range p.Parts {
		if !part.Keep && part.To.VouchedBy == "" {
			names = append(names, part.Name)
		}
	}
	return names
}

// hash covers what decides: releases, data, overrides, steps and the end of
// the slot. Its start moves with the clock and the needs with the data.
func (p Plan) hash() string { return hashOf(p.decisive()) }

// decisive returns what the hash covers.
func (p Plan) decisive() Plan {
	p.Hash, p.Needs, p.Slot.Start = "", nil, time.Time{}
	p.Slot.LatestStart = p.Slot.LatestStart.UTC()
	return p
}

func hashOf(plan any) string {
	b, err := json.Marshal(plan)
	if err != nil {
		return "" // strings and times: cannot happen, and "" equals no hash
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Plan looks at the machine and returns what [Update.Run] would do, or a
// [*Refusal]. It takes no lock and writes nothing.
func (u *Update) Plan(ctx context.Context) (Plan, error) {
	st, err := u.unblocked()
	if err != nil {
		return Plan{}, err
	}
	return u.plan(ctx, st)
}

// unblocked returns the state of an installation for which a plan may be made.
func (u *Update) unblocked() (Status, error) {
	if err := u.Check(); err != nil {
		return Status{}, err
	}
	st, err := ReadStatus(u.Dir)
	if err != nil {
		return Status{}, err
	}
	return st, st.Blocked()
}

// plan runs every guard that can run before the fence.
func (u *Update) plan(ctx context.Context, st Status) (Plan, error) {
	var p Plan
	for _, part := range u.Parts {
		pp := PlanPart{Name: part.Name, From: part.From, To: part.To, Setup: part.Setup, Keep: part.From.Version != "" && part.From.same(part.To)}
		if err := u.checkPart(ctx, st, part, pp); err != nil {
			return Plan{}, err
		}
		p.Parts = append(p.Parts, pp)
	}
	if !slices.ContainsFunc(p.Parts, func(pp PlanPart) bool { return !pp.Keep }) {
		return Plan{}, refuse(ReasonNothingToDo, "", "every part is installed at its version already; nothing to do")
	}
	if err := u.complete(ctx, &p); err != nil {
		return Plan{}, err
	}
	p.Steps = u.steps(p, nil)
	p.Hash = p.hash()
	return p, nil
}

// complete fills in what a plan has besides its parts, steps and hash.
func (u *Update) complete(ctx context.Context, p *Plan) (err error) {
	for _, d := range u.Data {
		p.Data = append(p.Data, d.Name)
	}
	p.Overrides = u.overrides()
	if p.Slot, err = u.Window.Next(ctx, u.now()); err != nil {
		return &Refusal{Reason: ReasonWindow, Err: fmt.Errorf("R13: %w", err)}
	}
	p.Needs, err = u.Needs(ctx)
	return err
}

// checkPart refuses a part whose facts do not fit the machine, the journal
// or the archive.
func (u *Update) checkPart(ctx context.Context, st Status, part Part, pp PlanPart) error {
	if was, ok := st.Committed[part.Name]; ok && !was.same(part.From) {
		return refuse(ReasonInstalled, part.Name, "the journal has %s as committed, the update goes from %s; adopt what is installed if it was changed by other means", was, part.From)
	}
	if q, ok := st.QuarantineOf(part.Name, part.To); ok && !pp.Keep {
		return &Refusal{Reason: ReasonQuarantined, Part: part.Name, Release: part.To,
			Err: fmt.Errorf("%s was rolled back here on %s; lift its quarantine or wait for another release", part.To.Version, q.Since.Format(time.DateOnly))}
	}
	got, err := u.look(ctx, part)
	switch {
	case part.From.Version == "" && err != nil:
		return refuse(ReasonInstalled, part.Name, "R3: whether nothing is installed cannot be told: %w", err)
	case part.From.Version == "" && got != "":
		return refuse(ReasonInstalled, part.Name, "R3: version %s is installed already, this is no first installation", got)
	case part.From.Version == "":
		if _, ok := part.Installer.(Remover); !ok {
			return refuse(ReasonSetup, part.Name, "a first installation needs an installer that can remove: it is the only way back")
		}
	case err != nil:
		return refuse(ReasonInstalled, part.Name, "the installed version %s is not healthy, mend it first: %w", part.From.Version, err)
	case got != part.From.Version:
		return refuse(ReasonInstalled, part.Name, "version %q is installed, the update goes from %s; adopt it if it was installed by other means", got, part.From.Version)
	}
	if pp.Keep {
		return nil
	}
	if part.overwrites() && part.Overwrite == "" {
		return refuse(ReasonInstalled, part.Name, "R3: version %s is installed, and FullSetup would put the vendor's example in the place of its database; take Setup, or say why in Overwrite", part.From.Version)
	}
	return u.checkInstallers(ctx, part)
}

// overwrites reports whether FullSetup is to go over an installation.
func (p Part) overwrites() bool { return p.From.Version != "" && p.Setup.Version != "" }

// checkInstallers re-reads from the archive what is installed now and what
// the way back would install.
func (u *Update) checkInstallers(ctx context.Context, part Part) error {
	if part.From.Version != "" {
		if err := u.within(ctx, u.Deadlines.snapshot(), func(ctx context.Context) error { return part.Installer.Ready(ctx, part.From) }); err != nil {
			return refuse(ReasonPrevious, part.Name, "R10: the Setup of the installed version %s is needed for the way back: %w", part.From.Version, err)
		}
	}
	for _, r := range []Release{part.To, part.Setup} {
		if r.Version == "" {
			continue
		}
		if err := u.within(ctx, u.Deadlines.snapshot(), func(ctx context.Context) error { return part.Installer.Ready(ctx, r) }); err != nil {
			return refuse(ReasonInstaller, part.Name, "the installer of %s: %w", r.Version, err)
		}
	}
	return nil
}

// Needs returns the room that the update takes, summed by volume: what those
// of its data and installers say that are a [Spacer]. It is part of a plan, and
// may be asked before there is anything to plan. Where a volume has less free
// the error is a [*Refusal] with ReasonSpace. It writes nothing.
func (u *Update) Needs(ctx context.Context) ([]Need, error) {
	var roles []any
	for _, d := range u.Data {
		roles = append(roles, d.Data)
	}
	for _, p := range u.Parts {
		roles = append(roles, p.Installer)
	}
	var sums []Need
	byVolume := map[string]int{}
	for _, role := range roles {
		s, ok := role.(Spacer)
		if !ok {
			continue
		}
		needs, err := s.Needs(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask how much room is needed: %w", err)
		}
		for _, n := range needs {
			v, err := durable.VolumeOf(n.Path)
			if err != nil {
				return nil, fmt.Errorf("look at the volume of %s: %w", n.Path, err)
			}
			i, ok := byVolume[v.ID]
			if !ok {
				i = len(sums)
				byVolume[v.ID] = i
				sums = append(sums, Need{Path: n.Path})
			}
			sums[i].Bytes += n.Bytes
			sums[i].For = strings.TrimPrefix(sums[i].For+", "+n.For, ", ")
			if sums[i].Bytes > v.Free {
				return nil, refuse(ReasonSpace, "", "the volume of %s has %d MB free and the update needs %d MB (%s); make room",
					sums[i].Path, v.Free>>20, sums[i].Bytes>>20+1, sums[i].For)
			}
		}
	}
	return sums, nil
}

// steps lists what a run does when all goes well. Run follows this list.
// Damage is what a course does between the guard and the installers.
func (u *Update) steps(p Plan, damage []PlanStep) []PlanStep {
	list := []PlanStep{{Step: StepIntent}, {Step: StepFence}}
	if u.App != nil && !p.first() {
		list = append(list, PlanStep{Step: StepStop})
	}
	for _, name := range p.Data {
		list = append(list, PlanStep{StepSnapshot, name})
	}
	list = append(append(list, PlanStep{Step: StepGuard}), damage...)
	for _, part := range p.Parts {
		if !part.Keep {
			list = append(list, PlanStep{StepInstall, part.Name})
		}
	}
	if u.App != nil {
		list = append(list, PlanStep{Step: StepStart})
	}
	for _, part := range p.Parts {
		list = append(list, PlanStep{StepProbe, part.Name})
	}
	return append(list, PlanStep{Step: StepCommit}, PlanStep{Step: StepUnfence}, PlanStep{Step: StepTidy}, PlanStep{Step: StepEnd})
}

// overrides lists the rules that are left out by name.
func (u *Update) overrides() []Override {
	var list []Override
	for _, role := range []any{u.Fence, u.Window} {
		if o, ok := role.(override); ok {
			list = append(list, o.override())
		}
	}
	if u.NoData != "" {
		list = append(list, Override{Rule: ruleBackup, Reason: u.NoData})
	}
	for _, p := range u.Parts {
		if p.overwrites() && p.Overwrite != "" {
			list = append(list, Override{Rule: ruleSetup, Reason: p.Overwrite})
		}
	}
	return list
}

// Check returns a [*Refusal] if a role is missing, a name given twice, or a
// folder in the way of another. It looks at no role and writes nothing; Plan
// and Run call it first.
func (u *Update) Check() error {
	switch {
	case u.Dir == "":
		return refuse(ReasonSetup, "", "no state folder is given")
	case len(u.Parts) == 0:
		return refuse(ReasonSetup, "", "no parts are given")
	case u.Fence == nil:
		return refuse(ReasonSetup, "", "no fence is given; NoFence goes without one and says why")
	case u.Window == nil:
		return refuse(ReasonSetup, "", "no window is given; AnyTime goes without R13 and says why")
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
			return refuse(ReasonSetup, p.Name, "every part needs a name of its own")
		case p.To.Version == "":
			return refuse(ReasonSetup, p.Name, "no version to install is given")
		case p.Setup.Version != "" && p.Setup.Version != p.To.Version:
			return refuse(ReasonSetup, p.Name, "Setup is of version %s, and %s is to be installed", p.Setup.Version, p.To.Version)
		case p.Installer == nil || p.Probe == nil:
			return refuse(ReasonSetup, p.Name, "a part needs an installer and a probe")
		}
		seen[p.Name] = true
	}
	return u.checkData()
}

// checkData refuses an update after which nothing could be restored.
func (u *Update) checkData() error {
	switch {
	case len(u.Data) > 0 && u.NoData != "":
		return refuse(ReasonSetup, "", "both Data and NoData are given")
	case len(u.Data) == 0 && u.NoData == "" && slices.ContainsFunc(u.Parts, func(p Part) bool { return p.From.Version != "" }):
		return refuse(ReasonSetup, "", "R9: no data is given to be backed up; NoData goes without and says why")
	}
	seen := map[string]bool{}
	for _, d := range u.Data {
		if d.Name == "" || seen[d.Name] || d.Data == nil {
			return refuse(ReasonSetup, d.Name, "every dataset needs a name of its own and its data")
		}
		seen[d.Name] = true
	}
	return u.checkFolders()
}

// checkFolders keeps what a way back needs out of what an update replaces.
func (u *Update) checkFolders() error {
	for _, keep := range append([]string{u.Dir}, u.Kept...) {
		for _, live := range u.Live {
			in, err := durable.Within(keep, live)
			if err != nil {
				return refuse(ReasonFolders, "", "compare %s with %s: %w", keep, live, err)
			}
			if in {
				return refuse(ReasonFolders, "", "%s lies inside %s, which an update replaces; archive, backups and state need a place of their own", keep, live)
			}
		}
	}
	return nil
}

// compare refuses when what is found differs from what the plan showed.
func (p Plan) compare(now Plan) error {
	if p.Hash == now.Hash && p.Hash != "" && p.hash() == p.Hash {
		return nil
	}
	var what []string
	for i, part := range p.Parts {
		if i >= len(now.Parts) || now.Parts[i] != part {
			what = append(what, "the releases of "+part.Name)
		}
	}
	if !p.Slot.LatestStart.Equal(now.Slot.LatestStart) {
		what = append(what, "the window")
	}
	if !slices.Equal(p.Overrides, now.Overrides) {
		what = append(what, "the rules left out")
	}
	if len(what) == 0 {
		what = append(what, "its steps or its hash")
	}
	return &Refusal{Reason: ReasonPlanChanged, Err: errors.New("since the plan was made there changed: " + strings.Join(what, ", ") + "; make a new plan")}
}
