// Package rollout decides which sites may install a release, and when it stops.
//
// A [Rollout] is a state machine without clock, network and disk: times and
// reports are parameters, and the same calls in the same order give the same
// state, byte for byte as JSON. Its keeper stores that JSON before acting on
// it, so a coordinator can die between any two calls.
//
// # Waves
//
// The named canaries are the first wave, ten percent of the other sites the
// second, the rest the third. A wave ends once each of its sites has an
// outcome, or at its deadline. Sites that are offline or have no slot until
// then are stragglers: the next wave starts without them, the log says why,
// and they join as soon as they ask.
//
// # What stops it
//
// A rollout stops, and stays stopped until a person resumes it with a reason,
//   - on the first rollback of a canary;
//   - once more than max(1, 5 %) of the sites that started were rolled back;
//   - once two sites were rolled back with the same exit code;
//   - if a site needs the decision of a person;
//   - if a site that started has no outcome after [Plan.Silence];
//   - if at the deadline of the canaries fewer than half of them have committed.
//
// # How many at a time
//
// At most [Plan.Cap] sites are updated at a time: that is how many the support
// can help at once. The first sites start slowly: there are never more in
// progress than have committed, or five. So a release that fails where no
// canary is like meets few sites.
//
// # Permission
//
// A site asks, a [Grant] permits. It lasts [GrantLife], and is signed by the
// coordinator. The site reports that it starts, and starts only after the store
// has confirmed that report: so a grant that was not used frees its place
// [MaxSkew] after it has ended, and a site that was cut off frees it as well.
package rollout
