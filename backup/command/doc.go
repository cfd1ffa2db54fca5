// Package command is a placeholder.
package command
