//go:build unix

package main

import "golang.org/x/sys/unix"

// restrictUmask makes every file of this process 0600 and every directory 0700 at most,
// also those that SQLite makes.
func restrictUmask() { unix.Umask(0o077) }
