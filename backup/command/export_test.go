package command

// Failure is the error of a command, for tests.
type Failure = failure
