// Package process holds what programs started by this module's packages have
// in common.
package process
