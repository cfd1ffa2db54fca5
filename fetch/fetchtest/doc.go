// Package fetchtest helps to test what uses package fetch: [Server] is an FTP
// server in memory that fails as it is told to, and [TestSource] checks
// whether a caller's own Source keeps the contract.
package fetchtest
