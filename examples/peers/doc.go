// Package peers holds benchmarks of this library side by side with what people
// would otherwise use, each file named for the package it compares. It is a
// module of its own, so that nobody who imports the library downloads the peers.
//
// README.md has the results. Rewrite them from the folder of this file by
//
//	GOWORK=off go run ./table
//	GOWORK=off go run ./fetch
//	GOWORK=off go run ./backup
//
// The last two are about whole programs, see their own documentation.
//
// # Adding a comparison
//
// Write a benchmark with one sub-benchmark a library, all doing the same work,
// the one called "aspupdate" first:
//
//	BenchmarkVersionParse/aspupdate
//	BenchmarkVersionParse/hashicorp
//
// and add its name, a title and the limits on the ratios to table/tasks.go.
package peers
