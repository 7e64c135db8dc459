package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text, problem string
	}{
		{"empty", "", ""},
		{"all", "log_level = 'info'\n[listen]\nimap = '127.0.0.1:0' # mine\nimaps = ''\nsmtp = ':0'\nsmtps = ''\npage = ''\n", ""},
		{"unknown at the top", "# a comment\n\nlog_levle = 'info'\n", `line 3: unknown key "log_levle"`},
		{"unknown in a table", "[listen]\nimap = ''\n\nimpas = ''", `line 4: unknown key "listen.impas"`},
		{"unknown dotted", "listen.imap = ''\nlisten.pop3 = ''\n", `line 2: unknown key "listen.pop3"`},
		{"unknown table", "\n[pop3]\nport = 1\n", `line 2: unknown key "pop3"`},
		{"same name in two tables", "[listen]\nimap = ''\n[other]\nimap = ''\n", `line 3: unknown key "other"`},
		{"unknown after a long value", "log_level = \"\"\"\nimpas = 1\n\"\"\"\nimpas = 1\n", `line 4: unknown key "impas"`},
		{"wrong type", "[listen]\n\nimap = 1144\n", "line 3"},
		{"bad level", "# mine\nlog_level = 'loud'\n", "line 2: log level"},
		{"bad address", "[listen]\nimap = ''\nsmtp = 'nonsense'\n", "line 3: the address"},
		{"cleartext for others", "[listen]\nimap = '0.0.0.0:1144'\n", "line 2: IMAP on 0.0.0.0:1144"},
		{"no TOML", "[listen]\nimap\n", "line 2"},
	}
	for _, tc := range cases {
		_, err := parseConfig(tc.text)
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		if !strings.HasPrefix(problem, tc.problem) || (err == nil) != (tc.problem == "") {
			t.Errorf("%s: %q, want %q", tc.name, problem, tc.problem)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{"", "log_level = 'info'", "[listen]\nimap = ''\nx = 1\n", "a.b = {c = 1}\n", "[[x]]\ny = '''\n'''\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return // lineOf is quadratic, which is nothing for a file that a person writes
		}
		if _, err := parseConfig(text); err != nil && !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%q: %v names no line", text, err)
		}
	})
}

func TestSetting(t *testing.T) {
	const variable = "MAILBRIDGE_TEST_SETTING"
	flag, file := "flag", "file"
	for _, tc := range []struct {
		name       string
		flag, file *string
		env        *string
		want       string
	}{
		{"default", nil, nil, nil, "default"},
		{"file", nil, &file, nil, "file"},
		{"environment over file", nil, &file, new("env"), "env"},
		{"empty environment is off", nil, &file, new(""), ""},
		{"flag over all", &flag, &file, new("env"), "flag"},
		{"empty flag is off", new(""), &file, new("env"), ""},
	} {
		os.Unsetenv(variable)
		if tc.env != nil {
			t.Setenv(variable, *tc.env)
		}
		if got := setting(tc.flag, variable, tc.file, "default"); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDirs(t *testing.T) {
	t.Parallel()
	env := func(vars map[string]string) func(string) string {
		return func(name string) string { return vars[name] }
	}
	d, err := findDirs(env(map[string]string{"MAILBRIDGE_HOME": "/h", "XDG_DATA_HOME": "/elsewhere", "XDG_RUNTIME_DIR": "/run/user/1"}))
	if err != nil || d != (dirs{"/h", "/h/data", "/h/state", "/h/cache", "/h/run"}) {
		t.Errorf("MAILBRIDGE_HOME moves everything: %+v %v", d, err)
	}
	for _, tc := range []struct {
		name string
		vars map[string]string
		want dirs
	}{
		{"defaults", nil, dirs{"/u/.config/mailbridge", "/u/.local/share/mailbridge", "/u/.local/state/mailbridge", "/u/.cache/mailbridge", "/u/.local/state/mailbridge/run"}},
		{"all set", map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/k", "XDG_RUNTIME_DIR": "/r"},
			dirs{"/c/mailbridge", "/d/mailbridge", "/s/mailbridge", "/k/mailbridge", "/r/mailbridge"}},
		{"relative paths do not count", map[string]string{"XDG_DATA_HOME": "d"}, dirs{"/u/.config/mailbridge", "/u/.local/share/mailbridge", "/u/.local/state/mailbridge", "/u/.cache/mailbridge", "/u/.local/state/mailbridge/run"}},
	} {
		if got := xdgDirs(env(tc.vars), "/u"); got != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

func testDirs(t *testing.T) dirs {
	t.Helper()
	home := t.TempDir()
	d, err := findDirs(func(name string) string {
		if name == "MAILBRIDGE_HOME" {
			return home
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.make(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	d := testDirs(t)
	want := []string{"a/../b@example.org", "alice@example.org", "é%@example.org"}
	for _, address := range want {
		if err := os.Mkdir(d.account(address), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(d.accounts(), newPrefix+"1"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := d.addresses()
	if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%q %v", got, err)
	}
	if err := d.sweep(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(d.accounts()); len(left) != len(want) {
		t.Errorf("after the sweep: %v", left)
	}
}

func TestMakeClosesDirectories(t *testing.T) {
	t.Parallel()
	d := testDirs(t)
	if err := os.Chmod(d.accounts(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.make(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.accounts())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
