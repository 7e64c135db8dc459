//go:build linux

// Command bench measures the figures that mailbridge promises, each beside its yardstick in the
// same run. It prints one line for each, "bench NAME VALUE UNIT BOUND", smaller being better, and
// in the end "ok", or "short:" and the names of those that miss their bound. It exits with 0
// either way: a miss is to be seen, not to be hidden by a broken build.
//
//	go run ./internal/bench securejoin
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// figure is one promise.
type figure struct {
	name  string
	unit  string // ratio, ms, MB, us
	bound float64
	value func(*run) float64
}

var suites = map[string][]figure{
	"securejoin": {
		{"wrong_secret", "ratio", 1.5, wrongSecret},
		{"invites_10000_ms", "ms", 25, manyInvites},
		{"join_embedded_ms", "ms", 150, joinEmbedded},
		{"join_real", "ratio", 0.6, joinReal},
	},
}

func main() {
	if len(os.Args) < 2 || suites[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: bench securejoin [NAME…]")
		os.Exit(64)
	}
	wanted := os.Args[2:]
	var short []string
	for _, f := range suites[os.Args[1]] {
		if len(wanted) > 0 && !strings.Contains(" "+strings.Join(wanted, " ")+" ", " "+f.name+" ") {
			continue
		}
		value, err := measure(f)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", f.name, err)
		} else {
			fmt.Printf("bench %s %s %s %s\n", f.name, decimal(value), f.unit, decimal(f.bound))
		}
		if err != nil || value > f.bound {
			short = append(short, f.name)
		}
	}
	if len(short) > 0 {
		fmt.Println("short: " + strings.Join(short, " "))
		return
	}
	fmt.Println("ok")
}

func decimal(v float64) string {
	s := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
