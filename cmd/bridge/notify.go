package main

import (
	"net"
	"os"
	"strings"
)

// notifySystemd sends a state line to the service manager, if there is one
// (sd_notify(3)). It is a courtesy: what goes wrong is not reported.
func notifySystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if name, ok := strings.CutPrefix(path, "@"); ok {
		path = "\x00" + name // the abstract namespace
	}
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
