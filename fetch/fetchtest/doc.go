// Package fetchtest helps to test what uses package fetch: [Server] is an FTP
// server in memory that fails on demand, and [TestSource] checks
// whether a caller's own Source meets the contract.
package fetchtest
