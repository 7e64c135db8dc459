package main

import (
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
	// maxSpan is ten years: what is to last longer is better said to last for ever.
	maxSpan = 3653 * day
	// minSpan is the precision of the times that are kept.
	minSpan = time.Second
)

// parseSpan reads how long something is to last: a Go duration, which may begin with weeks
// and days ("2w", "1d12h"), or "never", which gives 0.
func parseSpan(flag, text string) (time.Duration, error) {
	if text == "never" {
		return 0, nil
	}
	bad := refuse(exitUsage, "%s: %q is not a span of time\nuse something like 12h, 7d or 2w, or never", flag, text)
	outside := refuse(exitUsage, "%s: %q is not between a second and ten years\nuse something like 12h, 7d or 2w, or never", flag, text)
	if strings.HasPrefix(text, "-") {
		return 0, outside
	}
	rest, total := text, time.Duration(0)
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"w", week}, {"d", day}} {
		number, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 32)
		switch {
		case err != nil:
			return 0, bad
		case n > uint64(maxSpan/unit.size):
			return 0, outside
		}
		total += time.Duration(n) * unit.size
		rest = after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		switch {
		case err != nil || rest[0] == '-' || rest[0] == '+':
			return 0, bad
		case d > maxSpan:
			return 0, outside
		}
		total += d
	}
	switch {
	case text == "":
		return 0, bad
	case total < minSpan || total > maxSpan:
		return 0, outside
	}
	return total, nil
}
