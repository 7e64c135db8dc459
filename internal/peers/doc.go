// Package peers is the test bed of real peers: Dovecot and Postfix from Debian's packages,
// each test with instances of its own on free loopback ports, and Delta Chat engines of
// three versions driven over JSON-RPC. Nothing is started system-wide and nothing leaves the machine.
//
// install.sh installs them. A peer that is missing fails the test, it does not skip it.
// Tests that need peers carry the build tag "peers".
package peers
