package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"mailbridge/account"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// TestDesk runs each command that works on invites, contacts, groups, channels and keys:
// what reaches the account, what the person reads, and that no name of a stranger steers
// the terminal.
func TestDesk(t *testing.T) {
	d := newDesk(t)
	d.contact = account.Contact{Address: bob, Name: evil, Fingerprint: someKey, Verified: true, VerifiedHow: "securejoin-v3", VerifiedWay: "mailed", Candidates: []pgp.Fingerprint{someKey}}
	d.invites = []account.Invite{d.invite()}
	d.joins = []account.Join{d.join(account.JoinCompleted)}
	image := filepath.Join(t.TempDir(), "qr.png")
	if err := writePNG(image, someLink); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ args, call, says string }{
		{"invite", "Invite   as usual false false false false copied", "good for one use, until 2030"},
		{"invite --group g1 --expires 2w1d --once --ask --way mailed", "Invite g1  360h0m0s true true false false mailed", "accept 7"},
		{"--channel c1 invite --legacy --expires never", "Invite  c1 0s false false false true copied", "can join the group"},
		{"invite --shared --expires never", "Invite   0s false false true false copied", "Only alice@example.org"},
		{"invite --png " + image, "Invite   as usual false false false false shown", "█"},
		{"invite new --json", "Invite   as usual false false false false copied", `"link":"https`},
		{"invite list", "", "7 .*live .*2030-01-0. .*1 .*shown .*ask, for alice@example.org, once"},
		{"invite list", "", `7 was used by bob@example.org on 2030`},
		{"invite list", "", `7: carolEve.* waits since .*invite accept 7 carol`},
		{"invite revoke 7", "RevokeInvite 7", "revoked"},
		{"invite revive " + someLink, "ReviveInvite " + someLink, "█"},
		{"invite accept 7", "AcceptJoiner 7", "bob@example.org is let in"},
		{"invite accept 7 bob@example.org", "AcceptJoiner 7 bob@example.org", "let in"},
		{"join " + someLink, "Join " + someLink + " false copied", "runs; bridge join list"},
		{"join --replace --way printed " + someLink, "Join " + someLink + " true printed", "runs"},
		{"join " + image, "Join " + someLink + " false shown", "runs"},
		{"join --wait " + someLink, "Join " + someLink + " false copied", "You are in the group \"Eve"},
		{"join list", "", "3 .*bob@example.org .*group \"Eve.*completed"},
		{"join cancel 3", "CancelJoin 3", "given up"},
		{"contacts", "", "bob@example.org .*verified, another key waits"},
		{"contact show bob@example.org", "", "securejoin-v3, by a link that was mailed"},
		{"contact show bob@example.org", "", "contact accept bob@example.org " + string(someKey)},
		{"contact verify bob@example.org", "VerifyContact bob@example.org  copied", "█"},
		{"contact verify bob@example.org --way mailed", "VerifyContact bob@example.org  mailed", "█"},
		{"contact verify bob@example.org --fingerprint " + string(someKey), "VerifyContact bob@example.org " + string(someKey) + " copied", "is verified: 0123 4567"},
		{"contact accept bob@example.org " + string(someKey), "AcceptKey bob@example.org " + string(someKey), "encrypted to 0123 4567"},
		{"contact reset bob@example.org", "ResetContact bob@example.org", "forgotten"},
		{"contact block bob@example.org", "BlockContact bob@example.org true", "is blocked"},
		{"contact block bob@example.org --off", "BlockContact bob@example.org false", "not blocked"},
		{"group list", "", "g1 .*Eve.* 1 .*required .*eve.x1@groups.mailbridge.invalid .*not in it any more"},
		{"group create Choir", "CreateGroup Choir", "bridge invite --group g1"},
		{"group members g1", "GroupMembers g1", "bob@example.org .*0123456789"},
		{"group add g1 bob@example.org", "AddMember g1 bob@example.org", "is in the group"},
		{"group remove g1 bob@example.org", "RemoveMember g1 bob@example.org", "not in the group"},
		{"group rename g1 Band", "RenameGroup g1 Band", "called"},
		{"group leave g1", "LeaveGroup g1", "left"},
		{"group encryption g1", "", "^required"},
		{"group encryption g1 when-possible", "SetGroupEncryption g1 when-possible", "required"},
		{"channel list", "", "c1 .*Eve.*you .*2 .*every 720h"},
		{"channel create News", "CreateChannel News", "bridge invite --channel c1"},
		{"channel subscribers c1", "Subscribers c1", "bob@example.org"},
		{"channel remove c1 bob@example.org", "RemoveSubscriber c1 bob@example.org", "cannot read"},
		{"channel leave c1", "LeaveChannel c1", "do not read"},
		{"channel rotate c1", "RotateChannel c1 <nil>", "new secret"},
		{"channel rotate c1 --every 30d", "RotateChannel c1 720h0m0s", "every 30d"},
		{"channel rotate --every never c1", "RotateChannel c1 0s", "only when somebody is removed"},
		{"key export", "ExportKey false", "^-----BEGIN-----\n$"},
		{"key export --secret", "ExportKey true", "^-----BEGIN-----\n$"},
		{"status", "", "(?s)wait for you +1.*carolEve.* waits"},
	} {
		stdout, stderr, exit := d.run(nil, strings.Fields(tc.args)...)
		if exit != 0 || !regexp.MustCompile(tc.says).MatchString(stdout) {
			t.Errorf("%s: %d %q %q", tc.args, exit, stdout, stderr)
		}
		if calls := d.take(); strings.Join(calls, "; ") != tc.call {
			t.Errorf("%s: %q", tc.args, calls)
		}
		if i := strings.IndexFunc(stdout+stderr, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }); i >= 0 && !strings.Contains(tc.args, "--json") {
			t.Errorf("%s: %q steers the terminal", tc.args, stdout)
		}
	}
}

// TestDeskJSON shows that every query and every change answers with one JSON value.
func TestDeskJSON(t *testing.T) {
	d := newDesk(t)
	d.contact = account.Contact{Address: bob}
	for _, tc := range []struct{ args, key string }{
		{"invite", "expires_at"}, {"invite list", ""}, {"invite revoke 7", "state"}, {"invite revive 7", "link"}, {"invite accept 7", "uses"},
		{"join list", ""}, {"join cancel 3", "reason"}, {"join " + someLink, "state"},
		{"contacts", ""}, {"contact show x@y", "candidates"}, {"contact verify x@y", "invite"}, {"contact verify x@y --fingerprint " + string(someKey), "contact"},
		{"contact accept x@y z", "verified_how"}, {"contact reset x@y", "address"}, {"contact block x@y", "blocked"},
		{"group list", ""}, {"group create x", "encryption"}, {"group members g1", ""}, {"group add g1 x@y", "members"}, {"group remove g1 x@y", "members"},
		{"group rename g1 x", "name"}, {"group leave g1", "member"}, {"group encryption g1", "encryption"}, {"group encryption g1 required", "encryption"},
		{"channel list", ""}, {"channel create x", "own"}, {"channel subscribers c1", ""}, {"channel remove c1 x@y", "subscribers"},
		{"channel leave c1", "open"}, {"channel rotate c1", "rotated_at"}, {"key export", "armored"}, {"status", "accounts"},
	} {
		stdout, stderr, exit := d.run(nil, append([]string{"--json"}, strings.Fields(tc.args)...)...)
		var v any
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || exit != 0 || strings.Count(stdout, "\n") != 1 {
			t.Errorf("%s: %d %v %q %q", tc.args, exit, err, stdout, stderr)
		}
		object, _ := v.(map[string]any)
		if _, list := v.([]any); list != (tc.key == "") {
			t.Errorf("%s: %q", tc.args, stdout)
		} else if _, ok := object[tc.key]; !list && !ok {
			t.Errorf("%s: no %s in %q", tc.args, tc.key, stdout)
		}
	}
	if stdout, _, _ := d.run(nil, "join", "list", "--json"); stdout != "[]\n" {
		t.Errorf("no joins: %q", stdout)
	}
}

// TestDeskRefuses shows the exit codes of what is not done.
func TestDeskRefuses(t *testing.T) {
	d := newDesk(t)
	for _, tc := range []struct {
		args string
		err  error
		exit int
		says string
	}{
		{"invite --group a --channel b", nil, exitUsage, "one of them"},
		{"invite --shared --once", nil, exitUsage, "--shared"},
		{"invite --shared --ask", nil, exitUsage, "--shared"},
		{"invite --shared --expires 1d", nil, exitUsage, "--shared"},
		{"invite --way pigeon", nil, exitUsage, "--way"},
		{"invite --expires tomorrow", nil, exitUsage, "not a span of time"},
		{"channel rotate c1 --every=-1h", nil, exitUsage, "ten years"},
		{"group encryption g1 perhaps", nil, exitUsage, "when-possible"},
		{"group encryption nowhere", nil, exitNoInput, "no group nowhere"},
		{"key import nowhere", nil, exitNoInput, "nowhere"},
		{"key import - --passphrase-file -", nil, exitUsage, "stdin"},
		{"invite revive 9", account.ErrNotFound, exitNoInput, "not found"},
		{"group add g1 x", &account.BadData{Text: "no " + evil}, exitData, "no Eve"},
		{"join " + someLink, &account.BadData{Text: "this is your own\nrevoke it"}, exitData, "bridge: this is your own\n  revoke it\n"},
		{"invite accept 7", &account.BadData{Text: "nobody waits", Err: securejoin.ErrNotAsking}, exitNoInput, "invite list"},
		{"invite list", errors.New("broken"), exitInternal, "broken"},
	} {
		d.err = tc.err
		stdout, stderr, exit := d.run(strings.NewReader(""), strings.Fields(tc.args)...)
		if exit != tc.exit || !strings.Contains(stderr, tc.says) || stdout != "" || strings.Count(stderr, "\n") > 3 || strings.ContainsAny(stderr, "\x1b\u202e") {
			t.Errorf("%s: %d %q %q", tc.args, exit, stdout, stderr)
		}
	}
	d.err = nil
	if calls := d.take(); slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "Invite ") }) {
		t.Errorf("an invite was made: %q", calls)
	}
}

// TestJoinOutcome shows how each end of a join is told.
func TestJoinOutcome(t *testing.T) {
	d := newDesk(t)
	for _, tc := range []struct {
		state, kind string
		exit        int
		says        string
	}{
		{account.JoinCompleted, "contact", 0, "bob@example.org is verified"},
		{account.JoinCompleted, "channel", 0, "subscribed to the channel"},
		{account.JoinFailed, "contact", exitProtocol, "failed: Eve"},
		{account.JoinClaim, "contact", exitData, "contact accept bob@example.org " + string(someKey)},
	} {
		j := d.join(tc.state)
		j.Kind = tc.kind
		d.joins = []account.Join{j}
		stdout, stderr, exit := d.run(nil, "join", "--wait", someLink)
		if exit != tc.exit || !strings.Contains(stdout+stderr, tc.says) || strings.ContainsAny(stdout+stderr, "\x1b\u202e") {
			t.Errorf("%s %s: %d %q %q", tc.state, tc.kind, exit, stdout, stderr)
		}
	}
	if stdout, _, exit := d.run(strings.NewReader("\n  "+someLink+" \nrest"), "join", "-"); exit != 0 || stdout == "" {
		t.Errorf("stdin: %d %q", exit, stdout)
	}
}

// TestRevokeShared shows that the end of a shared invite is announced before it happens.
func TestRevokeShared(t *testing.T) {
	d := newDesk(t)
	shared := d.invite()
	shared.Shared = true
	d.invites = []account.Invite{shared}
	for _, args := range []string{"invite revoke 7", "invite revoke 7 --yes"} {
		_, stderr, exit := d.run(strings.NewReader(""), strings.Fields(args)...)
		if exit != 0 || !strings.Contains(stderr, `withdraw all links to the group "Eve`) {
			t.Errorf("%s: %d %q", args, exit, stderr)
		}
	}
	a := &app{ctx: t.Context(), stderr: &strings.Builder{}}
	for answer, exit := range map[string]int{"y\n": 0, "YES\n": 0, "n\n": exitDenied, "\n": exitDenied, "": exitDenied, "yellow\n": exitDenied} {
		a.stdin = strings.NewReader(answer)
		if err := a.confirm("Revoke it?"); exitOf(err) != exit {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

// TestKeyImport shows where the passphrase of a key comes from.
func TestKeyImport(t *testing.T) {
	d := newDesk(t)
	dir := t.TempDir()
	for name, content := range map[string]string{"key.asc": "KEY", "right": "open sesame\n", "wrong": "shut\n", "long": strings.Repeat("x", maxKey+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, tc := range []struct {
		locked, args, stdin string
		exit                int
	}{
		{"", "key.asc", "", 0},
		{"", "-", "KEY", 0},
		{"open sesame", "key.asc --passphrase-file right", "", 0},
		{"open sesame", "key.asc --passphrase-file -", "open sesame\n", 0},
		{"open sesame", "key.asc --passphrase-file wrong", "", exitDenied},
		{"open sesame", "key.asc --passphrase-file nowhere", "", exitNoInput},
		{"open sesame", "key.asc", "", exitUsage}, // no terminal to ask at
		{"", "long", "", exitData},
	} {
		d.locked = tc.locked
		stdout, stderr, exit := d.run(strings.NewReader(tc.stdin), append([]string{"key", "import"}, strings.Fields(tc.args)...)...)
		calls := d.take()
		if exit != tc.exit || (exit == 0) != (len(calls) == 1 && calls[0] == "ImportKey KEY") || strings.Contains(stdout+stderr, "sesame") {
			t.Errorf("%q %s: %d %q %q %q", tc.locked, tc.args, exit, stdout, stderr, calls)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want time.Duration
		exit int
	}{
		{"never", 0, 0}, {"7d", week, 0}, {"2w", 2 * week, 0}, {"1w2d3h4m", week + 2*day + 3*time.Hour + 4*time.Minute, 0},
		{"90m", 90 * time.Minute, 0}, {"1s", time.Second, 0}, {"3653d", maxSpan, 0},
		{"", 0, exitUsage}, {"7", 0, exitUsage}, {"d", 0, exitUsage}, {"2d1w", 0, exitUsage}, {"1.5d", 0, exitUsage}, {"1d-1h", 0, exitUsage}, {"1d+1h", 0, exitUsage},
		{"-1h", 0, exitUsage}, {"-1d", 0, exitUsage}, {"0s", 0, exitUsage}, {"0d", 0, exitUsage}, {"1ms", 0, exitUsage},
		{"3654d", 0, exitUsage}, {"3653d1s", 0, exitUsage}, {"522w", 0, exitUsage}, {"4294967295w", 0, exitUsage}, {"99999999999999999999d", 0, exitUsage},
		{"2562047h", 0, exitUsage}, {"Never", 0, exitUsage}, {"7d ", 0, exitUsage}, {"1y", 0, exitUsage},
	} {
		if got, err := parseSpan("--expires", tc.text); got != tc.want || exitOf(err) != tc.exit {
			t.Errorf("%q: %v %v", tc.text, got, err)
		}
	}
}

func TestFindGroup(t *testing.T) {
	t.Parallel()
	list := []account.Group{
		{ID: "1", Name: "Choir", Address: "choir.a@groups.mailbridge.invalid"}, {ID: "2", Name: "Choir", Address: "choir.b@groups.mailbridge.invalid"},
		{ID: "3", Name: "1", Address: "one.c@groups.mailbridge.invalid"}, {ID: "4", Name: "Band", Address: "band.d@groups.mailbridge.invalid"},
	}
	for _, tc := range []struct {
		name, id string
		exit     int
	}{
		{"1", "1", 0}, {"Choir.B@groups.mailbridge.invalid", "2", 0}, {"Band", "4", 0},
		{"Choir", "", exitData}, {"band", "", exitNoInput}, {"", "", exitNoInput},
	} {
		if g, err := findGroup(list, tc.name); g.ID != tc.id || exitOf(err) != tc.exit {
			t.Errorf("%s: %s %v", tc.name, g.ID, err)
		}
	}
}

// sendingEngine has mail that waits.
type sendingEngine struct {
	*fakeEngine
	states []account.Status // one after the other, the last for ever
}

func (e *sendingEngine) State(context.Context) account.Status {
	s := e.states[0]
	if len(e.states) > 1 {
		e.states = e.states[1:]
	}
	return s
}

// TestSend shows that a command without a service sends what it has caused, and how long it
// tries.
func TestSend(t *testing.T) {
	t.Parallel()
	at := func(provider string, queued int, warnings ...string) account.Status {
		return account.Status{Provider: provider, Queued: queued, Warnings: warnings}
	}
	for _, tc := range []struct {
		name   string
		states []account.Status
		left   int
		takes  time.Duration
	}{
		{"nothing waits", []account.Status{at("offline", 0)}, 0, 0},
		{"sent", []account.Status{at("offline", 2), at("connecting", 2), at("connected", 1), at("connected", 0)}, 0, 3 * sendPoll},
		{"provider down", []account.Status{at("offline", 1), at("connecting", 1), at("offline", 1, "down")}, 1, 2 * sendPoll},
		{"login refused", []account.Status{at("offline", 1), at("login-refused", 1)}, 1, sendPoll},
		{"slow", []account.Status{at("connected", 1)}, 1, sendWait},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, alice)
				e := &sendingEngine{&fakeEngine{address: alice, closed: &w.closed}, tc.states}
				w.open[w.dirs.account(alice)] = func() (engine, error) { return e, nil }
				a := w.accounts(t)
				defer a.close()
				began := time.Now()
				reply, err := (&bridge{accounts: a}).send(t.Context(), accountArgs{})
				if err != nil || reply.Queued != tc.left || time.Since(began) != tc.takes {
					t.Errorf("%+v %v after %v", reply, err, time.Since(began))
				}
			})
		})
	}
}

func TestWay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cmd      inviteNewCmd
		terminal bool
		want     string
	}{
		{inviteNewCmd{}, true, "shown"},
		{inviteNewCmd{}, false, "copied"},
		{inviteNewCmd{jsonFlag: jsonFlag{JSON: true}}, true, "copied"},
		{inviteNewCmd{pngFlag: pngFlag{PNG: "qr.png"}}, false, "shown"},
		{inviteNewCmd{pngFlag: pngFlag{PNG: "qr.png"}, wayFlag: wayFlag{Way: "printed"}}, true, "printed"},
		{inviteNewCmd{wayFlag: wayFlag{Way: "mailed"}}, true, "mailed"},
	} {
		if o, err := tc.cmd.options(tc.terminal); err != nil || o.Way != tc.want {
			t.Errorf("%+v: %q %v", tc.cmd, o.Way, err)
		}
	}
}
