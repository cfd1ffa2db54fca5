package rollout

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/aspupdate/aspupdate/version"
)

const (
	// GrantLife is how long a grant lasts. A pause takes effect everywhere within
	// this time, also where the network is cut.
	GrantLife = 15 * time.Minute
	// MaxSkew is the largest difference of clocks with which a site starts.
	MaxSkew = 2 * time.Minute
)

// ErrRefused means that a grant does not permit to start.
var ErrRefused = errors.New("the grant does not permit a start")

// ErrSignature means that something is not signed by the expected key.
var ErrSignature = errors.New("the signature is not valid")

// A Release is a release by what counts: a re-release of the same number has
// another hash and is another release.
type Release struct {
	Distribution string          `json:"distribution"`
	Version      version.Version `json:"version"`
	SHA256       string          `json:"sha256"`
}

// String returns the release with the first digits of its hash.
func (r Release) String() string {
	return fmt.Sprintf("%s %s (%.12s)", r.Distribution, r.Version, r.SHA256)
}

// A Grant permits one site to install one release once, for a time. It is not a
// command: the site's own journal, quarantine, window and verifier still decide.
type Grant struct {
	Site       string    `json:"site"`
	Rollout    string    `json:"rollout"`
	Generation uint64    `json:"generation"` // grows with each decision of the center; older grants are void
	Release    Release   `json:"release"`
	NotBefore  time.Time `json:"not_before,omitzero"`
	NotAfter   time.Time `json:"not_after,omitzero"`
	Withdrawn  bool      `json:"withdrawn,omitempty"`
}

// Check returns nil if the grant permits a site to start now, where seen is the
// highest generation that the site has seen. Otherwise the error wraps
// [ErrRefused].
func (g Grant) Check(site string, now time.Time, seen uint64) error {
	switch {
	case g.Site != site:
		return fmt.Errorf("%w: it is for site %q", ErrRefused, g.Site)
	case g.Generation < seen:
		return fmt.Errorf("%w: its generation is %d, and generation %d was seen", ErrRefused, g.Generation, seen)
	case g.Withdrawn:
		return fmt.Errorf("%w: it was withdrawn", ErrRefused)
	case now.Before(g.NotBefore):
		return fmt.Errorf("%w: it begins at %s", ErrRefused, g.NotBefore.Format(time.RFC3339))
	case !now.Before(g.NotAfter):
		return fmt.Errorf("%w: it ended at %s", ErrRefused, g.NotAfter.Format(time.RFC3339))
	case g.NotAfter.Sub(g.NotBefore) > GrantLife:
		return fmt.Errorf("%w: it lasts longer than %v", ErrRefused, GrantLife)
	}
	return nil
}

// A sealed value is what [Seal] returns: the signature is over the kind as well,
// so that a signed report can never pass for a signed grant.
type sealed struct {
	Body []byte `json:"body"`
	Sig  []byte `json:"sig"`
}

// Seal returns v as JSON, signed by a key for a kind of document.
func Seal(key nkeys.KeyPair, kind string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(signed(kind, body))
	if err != nil {
		return nil, fmt.Errorf("sign a %s: %w", kind, err)
	}
	return json.Marshal(sealed{body, sig})
}

// Unseal decodes into v what [Seal] returned for the same kind and the key
// with this public part. The error wraps [ErrSignature] if it did not, and v is
// then unchanged.
func Unseal(public, kind string, data []byte, v any) error {
	var s sealed
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%w: a %s cannot be parsed: %w", ErrSignature, kind, err)
	}
	key, err := nkeys.FromPublicKey(public)
	if err != nil {
		return fmt.Errorf("%w: the public key: %w", ErrSignature, err)
	}
	if err := key.Verify(signed(kind, s.Body), s.Sig); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrSignature, kind, err)
	}
	return json.Unmarshal(s.Body, v)
}

func signed(kind string, body []byte) []byte {
	return append([]byte("aspupdate fleet "+kind+"\n"), body...)
}
