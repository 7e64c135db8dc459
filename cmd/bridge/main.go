// Command bridge lets an ordinary mail client send and read end-to-end encrypted mail: it
// is an IMAP and an SMTP server on this machine, between the client and the provider.
//
// This package is the wiring: command line, configuration, secrets on disk, listeners,
// the service and its commands. Every subcommand is a call of the command table
// (package web), in the running service or, where none runs, in this process.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	restrictUmask()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// release is the version of this source; a build from a tagged module knows its own.
const release = "0.1.0"

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return release
}
