package account_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/message"
)

// circle is some people who are in one group: the first made it, and knows the others, who know
// nobody else.
func (w *world) circle(names ...string) []*person {
	w.Helper()
	var people []*person
	for _, name := range names {
		p := w.add(name)
		people = append(people, p)
		if len(people) > 1 {
			w.shake(people[0], p)
		}
	}
	if _, err := people[0].CreateGroup(context.Background(), "Book club"); err != nil {
		w.Fatal(err)
	}
	for n, p := range people[1:] {
		people[0].change("add", p.addr)
		p.wait("INBOX", "You were added to the group “Book club” by Alice")
		for _, other := range people[1 : n+1] {
			other.wait("INBOX", fmt.Sprintf("%s was added by Alice", p.title()))
		}
	}
	return people
}

// title is how system messages name a person.
func (p *person) title() string {
	return fmt.Sprintf("%s (%s)", p.Settings().Name, p.addr)
}

// group gives the one group that a person knows.
func (p *person) group() account.Group {
	p.w.Helper()
	groups, err := p.Groups(context.Background())
	if err != nil || len(groups) != 1 {
		p.w.Fatalf("%s: groups %+v, %v", p.addr, groups, err)
	}
	return groups[0]
}

// change changes the one group that a person knows.
func (p *person) change(what, arg string) account.Group {
	p.w.Helper()
	g, err := p.try(what, arg)
	if err != nil {
		p.w.Fatalf("%s: %s %s: %v", p.addr, what, arg, err)
	}
	return g
}

func (p *person) try(what, arg string) (account.Group, error) {
	p.w.Helper()
	return changeOf(p, p.group().ID, what, arg)
}

func changeOf(p *person, id, what, arg string) (account.Group, error) {
	p.w.Helper()
	ctx := context.Background()
	switch what {
	case "add":
		return p.AddMember(ctx, id, arg)
	case "remove":
		return p.RemoveMember(ctx, id, arg)
	case "rename":
		return p.RenameGroup(ctx, id, arg)
	case "leave":
		return p.LeaveGroup(ctx, id)
	case "encryption":
		return p.SetGroupEncryption(ctx, id, arg)
	}
	p.w.Fatalf("no such change: %s", what)
	return account.Group{}, nil
}

// members are the addresses of those in the group, as a person knows it.
func (p *person) members() string {
	var names []string
	for _, m := range p.group().Members {
		name, _, _ := strings.Cut(m.Address, "@")
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// agree waits until all know the same members.
func (w *world) agree(want string, people ...*person) {
	w.Helper()
	for _, p := range people {
		w.eventually(fmt.Sprintf("%s knows %s", p.addr, want), func() bool { return p.members() == want })
	}
}

// write sends a new message into the group, as a client does to its address.
func (p *person) write(text string) {
	p.w.Helper()
	addr := p.group().Address
	p.submit([]string{addr}, fmt.Sprintf("From: %s\nTo: Group <%s>\nSubject: Hello all\nMessage-ID: <%s@client>\n\n%s\n", p.addr, addr, strings.ReplaceAll(text, " ", "-"), text))
}

// answer replies to a message: to its Reply-To, and to all that are named in it.
func (p *person) answer(m mail, text string, all bool) (string, error) {
	p.w.Helper()
	to := addresses(m.header("Reply-To"))
	if len(to) == 0 {
		to = addresses(m.header("From"))
	}
	cc := ""
	envelope := slices.Clone(to)
	if all {
		var others []string
		for _, addr := range append(addresses(m.header("From")), addresses(m.header("To"))...) {
			if addr != p.addr && !slices.Contains(envelope, addr) {
				others = append(others, addr)
			}
		}
		envelope = append(envelope, others...)
		cc = "Cc: " + strings.Join(others, ", ") + "\n"
	}
	raw := fmt.Sprintf("From: %s\nTo: %s\n%sSubject: Re: %s\nMessage-ID: <%s@client>\nIn-Reply-To: %s\nReferences: %s\n\n%s\n",
		p.addr, strings.Join(to, ", "), cc, m.header("Subject"), strings.ReplaceAll(text, " ", "-"), m.header("Message-ID"),
		strings.TrimSpace(m.header("References")+" "+m.header("Message-ID")), text)
	return p.Submit(context.Background(), p.addr, envelope, []byte(strings.ReplaceAll(raw, "\n", "\r\n")))
}

func addresses(value string) []string {
	var list []string
	for _, a := range message.ParseAddresses(value) {
		list = append(list, a.Addr)
	}
	return list
}

func refused(t *testing.T, err error, text string) {
	t.Helper()
	var refusal *account.Refusal
	if !errors.As(err, &refusal) || refusal.Code != 550 || !strings.Contains(refusal.Text, text) || strings.Count(refusal.Text, "\n") > 1 {
		t.Errorf("%v, want a refusal with %q", err, text)
	}
}

// TestGroup: who is added, who writes, who answers.
func TestGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	w.agree("alice bob carol", people...)

	added := bob.wait("INBOX", "You were added")
	if from := added.header("From"); !strings.Contains(from, alice.addr) || added.header("Subject") != "Book club" ||
		addresses(added.header("Reply-To"))[0] != bob.group().Address || !strings.Contains(string(added.raw), "trust=verified") {
		t.Errorf("%s", added.raw)
	}
	if strings.Contains(string(added.raw), bob.group().ID) || bob.group().Address == alice.group().Address {
		t.Errorf("the id is shown, or the address is no secret: %s", added.raw)
	}

	// A new message goes to all, an answer and an answer to all go to all.
	bob.write("first words")
	first := carol.wait("INBOX", "first words")
	alice.wait("INBOX", "first words")
	if to := addresses(first.header("To")); len(to) != 2 || strings.Contains(string(first.raw), "not-a-member") {
		t.Errorf("%s", first.raw)
	}
	if _, err := carol.answer(first, "second words", false); err != nil {
		t.Fatal(err)
	}
	alice.wait("INBOX", "second words")
	second := bob.wait("INBOX", "second words")
	if !strings.Contains(second.header("References"), first.header("Message-ID")) {
		t.Errorf("%s", second.raw)
	}
	if _, err := bob.answer(second, "third words", true); err != nil {
		t.Fatal(err)
	}
	alice.wait("INBOX", "third words")
	carol.wait("INBOX", "third words")
	for _, p := range people {
		for _, text := range []string{"first words", "second words", "third words"} {
			if n := p.count("INBOX", text); n > 1 {
				t.Errorf("%s has %q %d times", p.addr, text, n)
			}
		}
	}
	// The Sent copy is what the client gave, with the local address.
	sent := bob.wait("Sent", "first words")
	if addresses(sent.header("To"))[0] != bob.group().Address || strings.Contains(string(sent.raw), "Chat-") {
		t.Errorf("%s", sent.raw)
	}
}

// TestGroupChanges: what is changed appears with all, as a short message, and counts.
func TestGroupChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol", "dave")
	alice, bob, carol, dave := people[0], people[1], people[2], people[3]

	bob.change("rename", "Lesekreis äöü")
	for _, p := range []*person{alice, carol, dave} {
		m := p.wait("INBOX", "was renamed to “Lesekreis äöü” by "+bob.title())
		if m.header("Subject") != "Lesekreis äöü" || p.group().Name != "Lesekreis äöü" {
			t.Errorf("%s knows %q", p.addr, p.group().Name)
		}
	}
	alice.write("before removal")
	old := bob.wait("INBOX", "before removal")

	carol.change("leave", "")
	for _, p := range []*person{alice, bob, dave} {
		p.wait("INBOX", carol.title()+" left the group.")
	}
	alice.change("remove", dave.addr)
	bob.wait("INBOX", dave.title()+" was removed by "+alice.title())
	gone := dave.wait("INBOX", "You were removed by "+alice.title())
	if gone.header("Reply-To") != "" {
		t.Errorf("%s", gone.raw)
	}
	w.agree("alice bob", alice, bob)

	// An answer to all, from a message of before, brings nobody back and reaches none who went.
	if _, err := bob.answer(old, "after removal", true); err != nil {
		t.Fatal(err)
	}
	alice.wait("INBOX", "after removal")
	w.agree("alice bob", alice, bob)
	for _, p := range []*person{carol, dave} {
		for _, m := range w.provider.Messages(p.addr, "INBOX") {
			if strings.Contains(string(m.Data), "after-removal") {
				t.Errorf("%s got %s", p.addr, m.Data)
			}
		}
		if g := p.group(); g.Member {
			t.Errorf("%s is in: %+v", p.addr, g)
		}
		_, err := p.Submit(context.Background(), p.addr, []string{p.group().Address}, []byte("From: "+p.addr+"\r\nTo: "+p.group().Address+"\r\n\r\nx\r\n"))
		refused(t, err, "not in the group")
		if _, err := p.try("rename", "x"); !isBadData(err) {
			t.Errorf("%v", err)
		}
	}

	// Who is asked back is in again.
	alice.change("add", carol.addr)
	carol.wait("INBOX", "You were added by "+alice.title())
	w.agree("alice bob carol", alice, bob, carol)
	carol.write("here again")
	alice.wait("INBOX", "here again")
	bob.wait("INBOX", "here again")
}

func isBadData(err error) bool {
	var bad *account.BadData
	return errors.As(err, &bad)
}

func isNotFound(err error) bool { return errors.Is(err, account.ErrNotFound) }

// TestRemoveByKey: who is in a group with two keys is named by the one that is to go.
func TestRemoveByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob := people[0], people[1]
	if _, err := alice.try("remove", string(alice.fpr())); err == nil || !strings.Contains(err.Error(), "bridge group leave") {
		t.Errorf("removed herself: %v", err)
	}
	alice.change("remove", string(bob.fpr()))
	w.agree("alice carol", alice, people[2])
	if _, err := alice.try("remove", string(bob.fpr())); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}
