// Package upstream is life with the provider: dial, TLS, login, IMAP commands, IDLE,
// submission, and what a failure means (temporary, permanent, unknown outcome).
//
// It keeps no state beyond a connection and decides nothing about mail. Every connection
// is TLS with the certificate verified; a password never leaves without it.
package upstream
