// Package watch reports what is new on the vendor's server.
//
// A [Watch] checks at the times that its caller chooses, reports each [Sighting]
// (released, late, re-released, vanished) and remembers it.
package watch
