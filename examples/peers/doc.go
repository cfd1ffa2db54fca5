// Package peers compares this library with what people would otherwise use, in
// benchmarks; each file is named for the package that it compares. It is a
// module of its own, so that importers of the library do not download the peers.
//
// README.md has the results. To rewrite them, run in the directory of this file:
//
//	GOWORK=off go run ./table
//	GOWORK=off go run ./fetch
//	GOWORK=off go run ./backup
//
// The last two compare whole programs; see their documentation.
//
// # Adding a comparison
//
// Write a benchmark with one sub-benchmark for each library, all of which do the
// same work, and "aspupdate" as the first:
//
//	BenchmarkVersionParse/aspupdate
//	BenchmarkVersionParse/hashicorp
//
// and add its name, a title and the limits on the ratios to table/tasks.go.
package peers
