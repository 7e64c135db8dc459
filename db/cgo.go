//go:build !cgo

package db

// go-sqlite3 builds without cgo and then fails at run time; this line fails the build
// instead and says why.
var _ = mailbridge_needs_cgo_build_with_CGO_ENABLED_1_and_a_C_compiler
