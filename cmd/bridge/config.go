package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/BurntSushi/toml"
)

// config is config.toml. The file is the user's: it is read, never written, and holds no
// secrets. A nil value was not given.
type config struct {
	LogLevel *string      `toml:"log_level"`
	Listen   listenConfig `toml:"listen"`
}

type listenConfig struct {
	IMAP  *string `toml:"imap"`
	IMAPS *string `toml:"imaps"`
	SMTP  *string `toml:"smtp"`
	SMTPS *string `toml:"smtps"`
	Page  *string `toml:"page"`
}

// maxConfig bounds the file: two pages of settings and a lot of comments.
const maxConfig = 256 << 10

// readConfig reads the file; no file is an empty one. Keys it does not know are errors
// that name the line: a setting that is misspelt would otherwise be lost in silence.
func readConfig(path string) (config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return config{}, err
	}
	if len(b) > maxConfig {
		return config{}, refuse(exitConfig, "%s is larger than %d octets", path, maxConfig)
	}
	c, err := parseConfig(string(b))
	if err != nil {
		return config{}, refuse(exitConfig, "%s: %v", path, err)
	}
	return c, nil
}

// parseConfig gives errors that begin with the number of the line.
func parseConfig(text string) (c config, err error) {
	md, err := toml.Decode(text, &c)
	if err != nil {
		return c, errors.New(strings.TrimPrefix(err.Error(), "toml: "))
	}
	if unknown := md.Undecoded(); len(unknown) > 0 {
		return c, fmt.Errorf("line %d: unknown key %q", lineOf(text, unknown[0]), unknown[0].String())
	}
	if c.LogLevel != nil {
		if _, err := parseLevel(*c.LogLevel); err != nil {
			return c, fmt.Errorf("line %d: %w", lineOf(text, toml.Key{"log_level"}), err)
		}
	}
	for i, address := range []*string{c.Listen.IMAP, c.Listen.IMAPS, c.Listen.SMTP, c.Listen.SMTPS} {
		if address == nil || *address == "" {
			continue
		}
		if err := services[i].check(*address); err != nil {
			return c, fmt.Errorf("line %d: %w", lineOf(text, toml.Key{"listen", services[i].name}), err)
		}
	}
	return c, nil
}

// lineOf finds the line on which a key gets its value: the first one whose lines up to it
// are TOML and define the key. (MetaData has no positions.)
func lineOf(text string, key toml.Key) int {
	end := 0
	for n := 1; end < len(text); n++ {
		if next := strings.IndexByte(text[end:], '\n'); next >= 0 {
			end += next + 1
		} else {
			end = len(text)
		}
		var any map[string]any
		if md, err := toml.Decode(text[:end], &any); err == nil && md.IsDefined(key...) {
			return n
		}
	}
	return 1
}

// setting gives the value that counts: flag, then environment, then file, then default.
// A variable that is set but empty counts, since empty means off.
func setting(flag *string, variable string, file *string, otherwise string) string {
	if flag != nil {
		return *flag
	}
	if value, ok := os.LookupEnv(variable); ok {
		return value
	}
	if file != nil {
		return *file
	}
	return otherwise
}

func logger(w io.Writer, level string) (*slog.Logger, error) {
	l, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

func parseLevel(level string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return l, refuse(exitUsage, "log level %q: it is debug, info, warn or error", level)
	}
	return l, nil
}
