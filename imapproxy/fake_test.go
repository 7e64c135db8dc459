package imapproxy

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"mailbridge/mailbox"
	"mailbridge/message"
)

// fakeAccount keeps mail in memory. It is Backend and Account in one.
type fakeAccount struct {
	mu    sync.Mutex
	boxes []*fakeBox
	ids   mailbox.ID

	selectWaits chan struct{}         // if set, Select waits for it or for its context
	failing     map[mailbox.UID]error // what Message says of a UID
	prefetched  []mailbox.UID
	stored      []mailbox.Flags // what Store was asked for
}

type fakeBox struct {
	info     mailbox.Info
	validity uint32
	next     mailbox.UID
	modSeq   mailbox.ModSeq
	msgs     []*fakeMessage
	expunged []fakeExpunge
	watchers map[chan struct{}]bool
	gone     bool
}

type fakeMessage struct {
	mailbox.Row
	raw    []byte
	modSeq mailbox.ModSeq
}

type fakeExpunge struct {
	uid    mailbox.UID
	modSeq mailbox.ModSeq
}

var fakeDate = time.Date(2026, 11, 21, 9, 30, 0, 0, time.FixedZone("", 3600))

func newFakeAccount() *fakeAccount {
	a := &fakeAccount{}
	for _, info := range []mailbox.Info{
		{Name: "INBOX"},
		{Name: "Bridge"},
		{Name: "Drafts", Use: mailbox.UseDrafts},
		{Name: "Sent", Use: mailbox.UseSent},
		{Name: "Trash", Use: mailbox.UseTrash},
		{Name: "Work", HasChildren: true},
		{Name: "Work/Über"},
	} {
		info.Subscribed = true
		a.add(info)
	}
	return a
}

func (a *fakeAccount) add(info mailbox.Info) {
	a.ids++
	info.ID = a.ids
	a.boxes = append(a.boxes, &fakeBox{info: info, validity: 7, next: 1, modSeq: 1, watchers: map[chan struct{}]bool{}})
}

func (a *fakeAccount) Login(_ context.Context, username, password string) (Account, error) {
	if username != "bob@example.org" || password != "secret" {
		return nil, mailbox.Errorf(mailbox.CodeAuthentication, "wrong user name or password")
	}
	return a, nil
}

func (a *fakeAccount) named(name string) (*fakeBox, error) {
	for _, b := range a.boxes {
		if b.info.Name == name {
			return b, nil
		}
	}
	return nil, mailbox.Errorf(mailbox.CodeNonExistent, "there is no such mailbox")
}

func (a *fakeAccount) box(id mailbox.ID) (*fakeBox, error) {
	for _, b := range a.boxes {
		if b.info.ID == id && !b.gone {
			return b, nil
		}
	}
	return nil, mailbox.Errorf(mailbox.CodeNonExistent, "there is no such mailbox")
}

func (b *fakeBox) wake() {
	for ch := range b.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (b *fakeBox) deliver(raw []byte, flags mailbox.Flags, date time.Time) mailbox.UID {
	b.modSeq++
	m := &fakeMessage{raw: raw, modSeq: b.modSeq}
	m.Row = mailbox.Row{UID: b.next, Flags: flags, InternalDate: date, Size: int64(len(raw))}
	b.next++
	b.msgs = append(b.msgs, m)
	b.wake()
	return m.UID
}

func (b *fakeBox) remove(uids []mailbox.UID, only func(*fakeMessage) bool) {
	b.msgs = slices.DeleteFunc(b.msgs, func(m *fakeMessage) bool {
		if !slices.Contains(uids, m.UID) || !only(m) {
			return false
		}
		b.modSeq++
		b.expunged = append(b.expunged, fakeExpunge{m.UID, b.modSeq})
		return true
	})
	b.wake()
}

func (b *fakeBox) find(uid mailbox.UID) (*fakeMessage, error) {
	for _, m := range b.msgs {
		if m.UID == uid {
			return m, nil
		}
	}
	return nil, mailbox.Errorf(mailbox.CodeExpungeIssued, "the message is gone")
}

// Deliver is an event from the provider's side.
func (a *fakeAccount) Deliver(name string, raw []byte, flags mailbox.Flags) mailbox.UID {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, _ := a.named(name)
	return b.deliver(raw, flags, fakeDate)
}

func (a *fakeAccount) SetFlags(name string, uid mailbox.UID, flags mailbox.Flags) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, _ := a.named(name)
	m, _ := b.find(uid)
	b.modSeq++
	m.Flags, m.modSeq = flags, b.modSeq
	b.wake()
}

func (a *fakeAccount) Remove(name string, uids ...mailbox.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, _ := a.named(name)
	b.remove(uids, func(*fakeMessage) bool { return true })
}

// Renumber makes the mailbox one with another UIDVALIDITY.
func (a *fakeAccount) Renumber(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, _ := a.named(name)
	b.gone = true
	b.wake()
}

func (a *fakeAccount) Mailboxes(context.Context) ([]mailbox.Info, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var infos []mailbox.Info
	for _, b := range a.boxes {
		infos = append(infos, b.info)
	}
	slices.SortFunc(infos, func(x, y mailbox.Info) int {
		if x.Name == "INBOX" || y.Name == "INBOX" {
			return cmp.Compare(b2i(y.Name == "INBOX"), b2i(x.Name == "INBOX"))
		}
		return strings.Compare(x.Name, y.Name)
	})
	return infos, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (a *fakeAccount) Status(_ context.Context, name string) (mailbox.Status, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.named(name)
	if err != nil {
		return mailbox.Status{}, err
	}
	st := mailbox.Status{UIDValidity: b.validity, UIDNext: b.next, Messages: uint32(len(b.msgs))}
	for _, m := range b.msgs {
		st.Size += m.Size
		if !m.Flags.Has(mailbox.Seen) {
			st.Unseen++
		}
	}
	return st, nil
}

func (a *fakeAccount) Create(_ context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.named(name); err == nil {
		return mailbox.Errorf(mailbox.CodeAlreadyExists, "the mailbox exists")
	}
	a.add(mailbox.Info{Name: name, Subscribed: true})
	return nil
}

func (a *fakeAccount) Delete(_ context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.named(name)
	if err != nil {
		return err
	}
	b.gone = true
	b.wake()
	a.boxes = slices.DeleteFunc(a.boxes, func(x *fakeBox) bool { return x == b })
	return nil
}

func (a *fakeAccount) Rename(_ context.Context, from, to string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.named(from)
	if err != nil {
		return err
	}
	b.info.Name = to
	return nil
}

func (a *fakeAccount) Subscribe(_ context.Context, name string, on bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.named(name)
	if err != nil {
		return err
	}
	b.info.Subscribed = on
	return nil
}

func (a *fakeAccount) Append(_ context.Context, name string, msg []byte, flags mailbox.Flags, date time.Time) (uint32, mailbox.UID, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.named(name)
	if err != nil {
		return 0, 0, err
	}
	return b.validity, b.deliver(msg, flags, date), nil
}

func (a *fakeAccount) Select(ctx context.Context, name string, progress func(string)) (mailbox.ID, error) {
	if a.selectWaits != nil {
		progress("first sync: 100 of 200 messages")
		select {
		case <-a.selectWaits:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.named(name)
	if err != nil {
		return 0, err
	}
	return b.info.ID, nil
}

func (a *fakeAccount) Snapshot(_ context.Context, id mailbox.ID) (mailbox.Snapshot, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.box(id)
	if err != nil {
		return mailbox.Snapshot{}, err
	}
	s := mailbox.Snapshot{UIDValidity: b.validity, UIDNext: b.next, ModSeq: b.modSeq}
	for _, m := range b.msgs {
		s.Rows = append(s.Rows, m.Row)
	}
	return s, nil
}

func (a *fakeAccount) Changes(_ context.Context, id mailbox.ID, since mailbox.ModSeq) (mailbox.Delta, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.box(id)
	if err != nil {
		return mailbox.Delta{}, err
	}
	d := mailbox.Delta{ModSeq: b.modSeq, UIDNext: b.next}
	for _, m := range b.msgs {
		if m.modSeq > since {
			d.Changed = append(d.Changed, m.Row)
		}
	}
	for _, e := range b.expunged {
		if e.modSeq > since {
			d.Expunged = append(d.Expunged, e.uid)
		}
	}
	slices.Sort(d.Expunged)
	return d, nil
}

func (a *fakeAccount) Watch(id mailbox.ID) (<-chan struct{}, func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ch := make(chan struct{}, 1)
	b, err := a.box(id)
	if err != nil {
		return ch, func() {}
	}
	b.watchers[ch] = true
	return ch, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(b.watchers, ch)
	}
}

func (a *fakeAccount) Header(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, error) {
	raw, err := a.Message(ctx, id, uid)
	return raw[:message.HeaderSize(raw)], err
}

func (a *fakeAccount) Message(_ context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.failing[uid]; err != nil {
		return nil, err
	}
	b, err := a.box(id)
	if err != nil {
		return nil, err
	}
	m, err := b.find(uid)
	if err != nil {
		return nil, err
	}
	return m.raw, nil
}

func (a *fakeAccount) Prefetch(_ context.Context, _ mailbox.ID, uids []mailbox.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prefetched = append(a.prefetched, uids...)
}

func (a *fakeAccount) SearchText(ctx context.Context, id mailbox.ID, uids []mailbox.UID, field mailbox.Field, text string) ([]mailbox.UID, error) {
	var found []mailbox.UID
	for _, uid := range uids {
		raw, err := a.Message(ctx, id, uid)
		if err != nil {
			return nil, err
		}
		if message.Contains(raw, text, field == mailbox.FieldBody) {
			found = append(found, uid)
		}
	}
	return found, nil
}

func (a *fakeAccount) Store(_ context.Context, id mailbox.ID, uids []mailbox.UID, action mailbox.StoreAction, flags mailbox.Flags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.box(id)
	if err != nil {
		return err
	}
	a.stored = append(a.stored, flags)
	for _, uid := range uids {
		m, err := b.find(uid)
		if err != nil {
			continue
		}
		if f := m.Flags.Apply(action, flags); !f.Equal(m.Flags) {
			b.modSeq++
			m.Flags, m.modSeq = f, b.modSeq
		}
	}
	b.wake()
	return nil
}

func (a *fakeAccount) Expunge(_ context.Context, id mailbox.ID, uids []mailbox.UID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.box(id)
	if err != nil {
		return err
	}
	b.remove(uids, func(m *fakeMessage) bool { return m.Flags.Has(mailbox.Deleted) })
	return nil
}

func (a *fakeAccount) Copy(_ context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.box(id)
	if err != nil {
		return mailbox.CopyUID{}, err
	}
	to, err := a.named(dest)
	if err != nil {
		return mailbox.CopyUID{}, err
	}
	if dest == mailbox.Bridge {
		return mailbox.CopyUID{}, mailbox.Errorf(mailbox.CodeCannot, "Bridge takes no messages")
	}
	c := mailbox.CopyUID{UIDValidity: to.validity}
	for _, uid := range uids {
		if m, err := b.find(uid); err == nil {
			c.Source = append(c.Source, uid)
			c.Dest = append(c.Dest, to.deliver(bytes.Clone(m.raw), m.Flags, m.InternalDate))
		}
	}
	return c, nil
}

func (a *fakeAccount) Move(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	c, err := a.Copy(ctx, id, uids, dest)
	if err != nil {
		return c, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := a.box(id)
	if err != nil {
		return c, err
	}
	b.remove(c.Source, func(*fakeMessage) bool { return true })
	return c, nil
}
