package rollback

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Plan is what a run would do. Making one writes nothing.
type Plan struct {
	Parts     []PlanPart `json:"parts"`
	Data      []string   `json:"data"`                // datasets that are backed up (R9)
	Proofs    []Proof    `json:"proofs,omitempty"`    // what is known of the backups, as far as Data has Proven
	Overrides []Override `json:"overrides,omitempty"` // rules left out explicitly
	Slot      Slot       `json:"slot"`                // R13; zero with [AnyTime]
	Needs     []Need     `json:"needs,omitempty"`     // space per volume, summed
	Steps     []PlanStep `json:"steps"`               // what a run does, in order, if nothing fails
	Hash      string     `json:"hash"`                // over what a run must find unchanged
	Revert    *Revert    `json:"back,omitempty"`      // of an operator's rollback: what it takes back; nil for an update
}

// A Proof is when a backup like that of the update was last restored beside the live
// data and compared with it (R9).
type Proof struct {
	Data string        `json:"data"`              // the dataset
	At   time.Time     `json:"at,omitzero"`       // UTC; zero if that never happened
	Took time.Duration `json:"took_ns,omitempty"` // which is what a rollback takes at least (R11)
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

// fits reports whether a part given now is the one planned.
func (p PlanPart) fits(have Part) bool {
	return p.Name == have.Name && p.From.same(have.From) && p.To.same(have.To)
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

// sameVersion returns the name of a part whose version stays while its
// installer changes, as that of a re-release does (R13), "" if there is none:
// no probe can determine whether it was installed.
func (p Plan) sameVersion() string {
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

// Unauthenticated returns the names of the parts whose installer was not
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

// hash covers what decides: releases, data, overrides, steps, the end of the
// slot, and what is taken back. The slot's start moves with the clock, the
// needs and what a rollback costs with the data, and a proof may be made at any time.
func (p Plan) hash() string {
	p.Hash, p.Needs, p.Proofs, p.Slot.Start = "", nil, nil, time.Time{}
	p.Slot.LatestStart = p.Slot.LatestStart.UTC()
	if p.Revert != nil {
		decisive := *p.Revert
		decisive.Entered, decisive.Unhealthy = nil, nil
		p.Revert = &decisive
	}
	b, err := json.Marshal(p)
	if err != nil {
		return "" // strings and times: cannot happen, and "" equals no hash
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Plan checks the machine and returns what [Update.Run] would do, or an
// [*Error] with the Reason for refusing. It takes no lock and writes nothing.
func (u *Update) Plan(ctx context.Context) (Plan, error) {
	return u.unblocked(ctx, u.plan)
}

// unblocked makes a plan if one may be made now.
func (u *Update) unblocked(ctx context.Context, plan func(context.Context, Status) (Plan, error)) (Plan, error) {
	if err := u.Check(); err != nil {
		return Plan{}, err
	}
	st, err := ReadStatus(u.Dir, u.Kept...)
	if err == nil {
		err = st.Blocked()
	}
	if err != nil {
		return Plan{}, err
	}
	return plan(ctx, st)
}

// plan runs every guard that can run before the fence.
func (u *Update) plan(ctx context.Context, st Status) (Plan, error) {
	var p Plan
	for _, part := range u.Parts {
		pp := PlanPart{Name: part.Name, From: part.From, To: part.To, Setup: part.Setup, Keep: part.From.Version != "" && part.From.same(part.To)}
		if err := u.checkPart(ctx, st, part, pp.Keep); err != nil {
			return Plan{}, err
		}
		p.Parts = append(p.Parts, pp)
	}
	if !slices.ContainsFunc(p.Parts, func(pp PlanPart) bool { return !pp.Keep }) {
		return Plan{}, refuse(ReasonNothingToDo, "", "every part is at its version already")
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
	if err := u.checkWritable(); err != nil {
		return err
	}
	p.Overrides = u.overrides()
	if p.Revert == nil && !p.first() { // a rollback goes back to what there is, a first installation to nothing
		if p.Proofs, err = u.proofs(ctx); err != nil {
			return err
		}
	}
	if p.Slot, err = u.Window.Next(ctx, u.now()); err != nil {
		return refuse(ReasonWindow, "", "R13: %w", err)
	}
	p.Needs, err = u.needs(ctx)
	return err
}

// proofs asks what is known of the backups. It refuses an update that may need one
// whose like was never restored (R9), unless Unproven says why.
func (u *Update) proofs(ctx context.Context) (list []Proof, err error) {
	for _, d := range u.Data {
		role, ok := d.Data.(prover)
		if !ok {
			continue
		}
		var p Proof
		err := u.within(ctx, u.Deadlines.fence(), func(ctx context.Context) (err error) {
			p, err = role.Proven(ctx)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue // a first installation creates it
		}
		if err != nil && u.Unproven == "" {
			return nil, refuse(ReasonUnproven, d.Name, "R9: %w", err).then("prove a backup, or give the reason to go without")
		}
		p.Data = d.Name
		list = append(list, p)
	}
	return list, nil
}

// Needs returns the space that the update needs, summed by volume, as far as its
// data and installers have Needs. If a volume has less free space the error
// has [ReasonSpace]. It needs no plan. The ready roles also try what a backup and a
// restore begin with, as Run does before users are kept out, and remove it again.
func (u *Update) Needs(ctx context.Context) ([]Need, error) {
	return u.needs(durable.Trying(ctx))
}

func (u *Update) needs(ctx context.Context) ([]Need, error) {
	var roles []any
	for _, d := range u.Data {
		roles = append(roles, d.Data)
	}
	for _, p := range u.Parts {
		roles = append(roles, p.Installer)
	}
	var volumes []*volumeNeed
	for _, role := range roles {
		s, ok := role.(spacer)
		if !ok {
			continue
		}
		needs, err := s.Needs(ctx)
		if errors.Is(err, fs.ErrNotExist) && !slices.ContainsFunc(u.Parts, func(p Part) bool { return p.From.Version != "" }) {
			continue // a first installation creates it
		}
		if err != nil {
			return nil, fmt.Errorf("find out how much space is needed: %w", err)
		}
		own := map[*volumeNeed]*roleNeed{}
		for _, n := range needs {
			v, err := durable.VolumeOf(n.Path)
			if err != nil {
				return nil, fmt.Errorf("find the volume of %s: %w", n.Path, err)
			}
			i := slices.IndexFunc(volumes, func(have *volumeNeed) bool { return have.id == v.ID })
			if i < 0 {
				i, volumes = len(volumes), append(volumes, &volumeNeed{id: v.ID, free: v.Free, path: n.Path})
			}
			on := volumes[i]
			if own[on] == nil {
				own[on] = &roleNeed{}
				on.roles = append(on.roles, own[on])
			}
			own[on].bytes += n.Bytes
			own[on].purposes = append(own[on].purposes, n.For)
		}
	}
	var sums []Need
	for _, on := range volumes {
		n, purposes := on.sum()
		if n.Bytes > on.free {
			return nil, refuse(ReasonSpace, "", "the volume of %s has %d MB free and the update needs %d MB (%s)",
				n.Path, on.free/1e6, n.Bytes/1e6+1, few(purposes)).then("free space on it")
		}
		sums = append(sums, n)
	}
	return sums, nil
}

// steps lists what a run does when all goes well. Run follows this list.
// Damage is what a course does between the guard and the installers.
func (u *Update) steps(p Plan, damage []PlanStep) []PlanStep {
	list := []PlanStep{{Step: stepIntent}, {Step: stepFence}}
	if u.App != nil && !p.first() {
		list = append(list, PlanStep{Step: stepStop})
	}
	for _, name := range p.Data {
		list = append(list, PlanStep{stepSnapshot, name})
	}
	list = append(append(list, PlanStep{Step: stepGuard}), damage...)
	for _, part := range p.Parts {
		if !part.Keep {
			list = append(list, PlanStep{stepInstall, part.Name})
		}
	}
	if u.App != nil {
		list = append(list, PlanStep{Step: stepStart})
	}
	if p.Revert == nil { // the data comes back with its structure
		for _, part := range u.Parts {
			for _, m := range part.Migrations {
				list = append(list, PlanStep{stepMigrate, m.Name})
			}
		}
	}
	for _, part := range p.Parts {
		list = append(list, PlanStep{stepProbe, part.Name})
	}
	return append(list, PlanStep{Step: stepCommit}, PlanStep{Step: stepUnfence}, PlanStep{Step: stepTidy}, PlanStep{Step: stepEnd})
}

// compare refuses if what is found differs from what the plan showed.
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
	return refuse(ReasonPlanChanged, "", "changed since the plan was made: %s", strings.Join(what, ", ")).then("make a new plan")
}
