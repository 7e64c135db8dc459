//go:build !unix

package main

// restrictUmask has nothing to do: the user's profile is private already.
func restrictUmask() {}
