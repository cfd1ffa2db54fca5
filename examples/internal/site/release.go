package site

import (
	"errors"
	"fmt"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// A release is a release of a distribution as plans and the journal have it,
// with its version, which was parsed where the release came from: the journal,
// the archive or the server. The zero release means that nothing is installed.
type release struct {
	rollback.Release
	version version.Version
}

// archived returns the release of an installer in the archive.
func archived(item archive.Item) release { return release{roles.Release(item), item.Version} }

// offered returns a release on the server. Its hash is not known yet.
func offered(r fetch.Release) release {
	return release{rollback.Release{Version: rollback.Version(r.Version.String())}, r.Version}
}

// journaled returns a release of the journal.
func journaled(r rollback.Release) (release, error) {
	v, err := parseOrZero(r.Version)
	return release{r, v}, err
}

// key returns the key of the release in the archive, the zero key for none.
func (r release) key(distribution string, variant version.Variant) (k archive.Key) {
	if !r.version.IsZero() {
		k = archive.Key{Distribution: distribution, Version: r.version, Variant: variant, SHA256: r.SHA256}
	}
	return k
}

// A step is what an update does to one distribution.
type step struct {
	name            string
	from, to, setup release // as in rollback.Part
}

// journaledSteps returns the steps of an update in the journal.
func journaledSteps(parts []rollback.PlanPart) ([]step, error) {
	steps := make([]step, len(parts))
	for i, p := range parts {
		var errs [3]error
		st := step{name: p.Name}
		st.from, errs[0] = journaled(p.From)
		st.to, errs[1] = journaled(p.To)
		st.setup, errs[2] = journaled(p.Setup)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("the journal's update of %s: %w", p.Name, err)
		}
		steps[i] = st
	}
	return steps, nil
}

// first reports whether this is the first installation of the distribution.
func (s step) first() bool { return s.from.version.IsZero() }

// installers returns the installers of a step: FullSetup for a first
// installation, Setup otherwise (R3).
func (s *Site) installers(d distributionConfig, st step) roles.Installers {
	variant := version.Setup
	if st.first() {
		variant = version.FullSetup
	}
	codes, _ := d.codes() // the configuration was checked
	return roles.Installers{
		Archive: s.Archive(), Runner: s.runner(),
		From: st.from.key(d.Name, version.Setup), To: st.to.key(d.Name, variant), Setup: st.setup.key(d.Name, version.Setup),
		Command: install.Command{
			Entry: d.Entry, Kind: d.kind(), Launcher: d.Launcher, Args: d.Arguments, Env: roles.Environment(d.Environment...),
			Unelevated: d.Unelevated, Codes: codes, CodePage: d.CodePage, LeavesRunning: d.Leaves, Application: s.Config.Live,
		},
		Vouch:  vouch(d),
		Remove: roles.Command{Argv: d.Remove, Environment: d.Environment},
	}
}

// kind returns the kind of the installer. It is detected unless it is given, or
// another program opens the installer.
func (d distributionConfig) kind() install.Kind {
	if d.Kind == "" && len(d.Launcher) == 0 {
		return install.Auto
	}
	return install.Kind(d.Kind)
}

// crossesYear reports whether one of the steps crosses a new year, so that R14
// applies.
func crossesYear(n schedule.Numbering, steps []step) (bool, error) {
	for _, s := range steps {
		if crosses, err := n.CrossesYear(s.from.version, s.to.version); crosses || err != nil {
			return crosses, err
		}
	}
	return false, nil
}

// parseOrZero parses a version. An empty text is the zero version.
func parseOrZero(s rollback.Version) (v version.Version, err error) {
	if s != "" {
		v, err = version.Parse(string(s))
	}
	return v, err
}

// Names returns the names of the distributions, in the order of installation.
func (c *Config) Names() (names []string) {
	for _, d := range c.Distributions {
		names = append(names, d.Name)
	}
	return names
}
