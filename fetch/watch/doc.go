// Package watch reports what is new on the vendor's server.
//
// A [Watch] looks at the times that its caller gives, reports each [Sighting]
// (released, late, re-released, vanished) and remembers it.
package watch
