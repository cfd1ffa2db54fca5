package installation

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// TestOnlyWhatTheGrantNames has updates that a site could make by its own
// configuration, and grants for others: only what the grant names is installed.
func TestOnlyWhatTheGrantNames(t *testing.T) {
	good, bad := strings.Repeat("a", 64), strings.Repeat("b", 64)
	part := func(name, from, to, sum string) rollback.Part {
		return rollback.Part{Name: name, From: rollback.Release{Version: rollback.Version(from), SHA256: strings.Repeat("0", 64)}, To: rollback.Release{Version: rollback.Version(to), SHA256: sum}}
	}
	same := func(name string) rollback.Part {
		p := part(name, "7.87.100", "", "")
		p.To = p.From
		return p
	}
	want := rollout.Release{Distribution: "asp", Version: version.MustParse("7.88.100"), SHA256: good}
	permit := func(parts ...rollback.Part) error { return permitted(want, parts) }

	require.NoError(t, permit(part("asp", "7.87.100", "7.88.100", good)))
	require.NoError(t, permit(same("med"), part("asp", "7.87.100", "7.88.100", good)))
	require.ErrorContains(t, permit(part("asp", "7.87.100", "7.88.100", bad)), "this site would install 7.88.100 with SHA-256 "+bad)
	require.ErrorContains(t, permit(part("asp", "7.87.100", "7.89.100", good)), "this site would install 7.89.100")
	require.ErrorContains(t, permit(part("med", "7.87.100", "7.88.100", bad)), "would also update med to 7.88.100")
	require.ErrorContains(t, permit(part("asp", "7.87.100", "7.88.100", good), part("med", "7.87.100", "7.88.100", bad)), "would also update med to 7.88.100")
	require.ErrorContains(t, permit(same("med")), "does not have the distribution asp")
	require.ErrorContains(t, permit(), "does not have the distribution asp")
}
