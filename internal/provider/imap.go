package provider

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// session is one IMAP connection. Close may run while Idle still does, so mu guards
// what both use; Provider.mu is taken inside it, never around it.
type session struct {
	provider *Provider
	conn     *imapserver.Conn

	mu   sync.Mutex
	user *user
	view *view
}

var (
	_ imapserver.SessionNamespace = (*session)(nil)
	_ imapserver.SessionMove      = (*session)(nil)
)

func (p *Provider) imapServer() *imapserver.Server {
	caps := imap.CapSet{imap.CapIMAP4rev1: {}}
	for _, c := range []imap.Cap{
		imap.CapNamespace, imap.CapUIDPlus, imap.CapMove, imap.CapESearch, imap.CapSpecialUse,
		imap.CapListExtended, imap.CapListStatus, imap.CapStatusSize, imap.CapChildren,
	} {
		caps[c] = struct{}{}
	}
	return imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &session{provider: p, conn: c}, nil, nil
		},
		Caps:         caps,
		Logger:       complaints{p.opts.Log},
		InsecureAuth: true, // TLS, where there is any, ends before this server
	})
}

// complaints logs for both libraries.
type complaints struct{ log *slog.Logger }

func (c complaints) Printf(format string, args ...any) { c.log.Debug(fmt.Sprintf(format, args...)) }
func (c complaints) Println(args ...any)               { c.log.Debug(fmt.Sprint(args...)) }

// do lets a command happen under the faults that are in effect.
func (s *session) do(name, arg string, command func() error) error {
	c := Command{Name: name, Arg: arg}
	if s.user != nil {
		c.User = s.user.addr
	}
	return s.provider.run(c, s.conn.NetConn(), imapRefusal, command)
}

// locked is do with the store locked.
func (s *session) locked(name, arg string, command func() error) error {
	return s.do(name, arg, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.provider.mu.Lock()
		defer s.provider.mu.Unlock()
		return command()
	})
}

func imapRefusal(f Fault) error {
	text := f.Text
	if text == "" {
		text = "Not now"
	}
	return refuse(imap.ResponseCode(f.IMAPCode), text)
}

func (s *session) Close() error { return s.Unselect() }

func (s *session) Login(username, password string) error {
	addr := canonicalAddr(username)
	c := Command{User: addr, Name: "LOGIN"}
	refusal := func(f Fault) error {
		if f.IMAPCode == "" {
			f.IMAPCode = string(imap.ResponseCodeAuthenticationFailed)
		}
		return imapRefusal(f)
	}
	return s.provider.run(c, s.conn.NetConn(), refusal, func() error {
		u := s.provider.authenticate(addr, password)
		if u == nil {
			return imapserver.ErrAuthFailed
		}
		s.user = u
		name(s.conn.NetConn(), addr)
		return nil
	})
}

// authenticate finds a user by address and password, or gives nil.
func (p *Provider) authenticate(addr, password string) *user {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[canonicalAddr(addr)]
	if u == nil || subtle.ConstantTimeCompare([]byte(u.password), []byte(password)) != 1 {
		return nil
	}
	return u
}

func (s *session) Select(name string, options *imap.SelectOptions) (data *imap.SelectData, err error) {
	err = s.locked("SELECT", name, func() error {
		b := s.user.selectable(name)
		if b == nil {
			return errNoMailbox
		}
		s.view = newView(b, options.ReadOnly)
		data = s.view.selectData()
		return nil
	})
	return data, err
}

func (s *session) Unselect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.provider.mu.Lock()
	defer s.provider.mu.Unlock()
	if s.view != nil {
		s.view.close()
		s.view = nil
	}
	return nil
}

func (s *session) Create(name string, options *imap.CreateOptions) error {
	return s.locked("CREATE", name, func() error {
		s.provider.alarm.text(s.user.addr, name)
		return s.provider.create(s.user, name, "")
	})
}

func (s *session) Delete(name string) error {
	return s.locked("DELETE", name, func() error { return s.provider.remove(s.user, name) })
}

func (s *session) Rename(from, to string, options *imap.RenameOptions) error {
	return s.locked("RENAME", from, func() error {
		s.provider.alarm.text(s.user.addr, to)
		return s.provider.rename(s.user, from, to)
	})
}

func (s *session) Subscribe(name string) error   { return s.subscribe("SUBSCRIBE", name, true) }
func (s *session) Unsubscribe(name string) error { return s.subscribe("UNSUBSCRIBE", name, false) }

func (s *session) subscribe(command, name string, on bool) error {
	return s.locked(command, name, func() error {
		b := s.user.boxes[canonicalName(name)]
		if b == nil {
			return errNoMailbox
		}
		b.subscribed = on
		return nil
	})
}

func (s *session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: s.provider.opts.Delimiter}}}, nil
}

// maxMessage is what the provider takes by APPEND and by submission, as large
// providers do.
const maxMessage = 50 << 20

// AppendLimit makes go-imap refuse a larger message before it is sent.
func (s *session) AppendLimit() uint32 { return maxMessage }

func (s *session) Append(name string, r imap.LiteralReader, options *imap.AppendOptions) (data *imap.AppendData, err error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	date := options.Time
	if date.IsZero() {
		date = time.Now()
	}
	err = s.locked("APPEND", name, func() error {
		b := s.user.selectable(name)
		if b == nil {
			return errTryCreate
		}
		s.provider.inspectAppend(s.user, b, raw, options.Flags)
		m := b.add(raw, options.Flags, date)
		if !s.provider.lacks("UIDPLUS") {
			data = &imap.AppendData{UIDValidity: b.uidValidity, UID: m.uid}
		}
		return nil
	})
	return data, err
}

// Poll tells the client what has happened since it was last told. Updates are worked
// out under the locks and written outside of them.
func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	updates, gone := s.updates(allowExpunge)
	if gone {
		_ = s.conn.Bye("Selected mailbox is gone or was renumbered, have to disconnect")
		return net.ErrClosed
	}
	for _, u := range updates {
		if err := u(w); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) updates(allowExpunge bool) (updates []update, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil, false
	}
	s.provider.mu.Lock()
	defer s.provider.mu.Unlock()
	if s.view.box.gone {
		return nil, true
	}
	return s.view.updates(allowExpunge), false
}

// Idle tells pending updates first: they may be older than the command.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	if s.provider.lacks("IDLE") {
		return refuse("", "IDLE is not supported")
	}
	return s.do("IDLE", "", func() error {
		changed := s.changes()
		for {
			if err := s.Poll(w, true); err != nil {
				return err
			}
			select {
			case <-changed:
			case <-stop:
				return nil
			}
		}
	})
}

// changes gives the channel that wakes this session; nil, which never does, where no
// mailbox is selected.
func (s *session) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil
	}
	return s.view.wake
}

func (s *session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	if uids != nil && s.provider.lacks("UIDPLUS") {
		return errUnknown
	}
	return s.locked("EXPUNGE", "", func() error {
		if s.view.readOnly {
			return nil // go-imap expunges at CLOSE after EXAMINE, too
		}
		keep := s.view.matcher(uids)
		s.view.box.remove(func(m *message) bool { return hasFlag(m.flags, imap.FlagDeleted) && keep(m) })
		return nil // Poll tells of them
	})
}

var (
	errReadOnly = refuse("", "Mailbox is read-only")
	errUnknown  = &imap.Error{Type: imap.StatusResponseTypeBad, Text: "Unknown command"}
)

func (s *session) Copy(numSet imap.NumSet, dest string) (data *imap.CopyData, err error) {
	err = s.locked("COPY", dest, func() error {
		data, err = s.copyTo(s.view.resolve(numSet), dest)
		return err
	})
	return data, err
}

// Move writes COPYUID; the expunges follow by Poll, from this one place.
func (s *session) Move(w *imapserver.MoveWriter, numSet imap.NumSet, dest string) error {
	if s.provider.lacks("MOVE") {
		return errUnknown
	}
	var data *imap.CopyData
	err := s.locked("MOVE", dest, func() (err error) {
		if s.view.readOnly {
			return errReadOnly
		}
		rows := s.view.resolve(numSet)
		if data, err = s.copyTo(rows, dest); err != nil {
			return err
		}
		moved := make(map[*message]bool, len(rows))
		for _, r := range rows {
			moved[r.message] = true
		}
		s.view.box.remove(func(m *message) bool { return moved[m] })
		return nil
	})
	if err != nil || data == nil {
		return err
	}
	return w.WriteCopyData(data)
}

// copyTo copies what is still there, in ascending order. Without UIDPLUS, or where
// nothing was copied, there is no COPYUID to tell (RFC 4315, section 3).
func (s *session) copyTo(rows []numbered, dest string) (*imap.CopyData, error) {
	b := s.user.selectable(dest)
	if b == nil {
		return nil, errTryCreate
	}
	data := &imap.CopyData{UIDValidity: b.uidValidity}
	for _, r := range rows {
		if r.gone {
			continue
		}
		m := b.add(r.data, r.flags, r.date)
		data.SourceUIDs.AddNum(r.uid)
		data.DestUIDs.AddNum(m.uid)
	}
	if s.provider.lacks("UIDPLUS") || len(data.SourceUIDs) == 0 {
		return nil, nil
	}
	return data, nil
}

func (s *session) Store(w *imapserver.FetchWriter, numSet imap.NumSet, flags *imap.StoreFlags, options *imap.StoreOptions) error {
	type line struct {
		seq   uint32
		uid   imap.UID
		flags []imap.Flag
	}
	var lines []line
	err := s.locked("STORE", joinFlags(flags.Flags), func() error {
		if s.view.readOnly {
			return errReadOnly
		}
		for _, r := range s.view.resolve(numSet) {
			if r.gone {
				continue
			}
			s.view.box.setFlags(r.message, applyFlags(r.flags, flags))
			r.known = r.change // told below, or the client knows
			lines = append(lines, line{r.seq, r.uid, r.flags})
		}
		return nil
	})
	if err != nil || flags.Silent {
		return err
	}
	_, byUID := numSet.(imap.UIDSet)
	for _, l := range lines {
		item := w.CreateMessage(l.seq)
		if byUID {
			item.WriteUID(l.uid)
		}
		item.WriteFlags(l.flags)
		if err := item.Close(); err != nil {
			return err
		}
	}
	return nil
}

func joinFlags(flags []imap.Flag) string { return strings.Join(flagStrings(flags), " ") }

func applyFlags(have []imap.Flag, change *imap.StoreFlags) []imap.Flag {
	switch change.Op {
	case imap.StoreFlagsAdd:
		return slices.Concat(have, change.Flags)
	case imap.StoreFlagsDel:
		return slices.DeleteFunc(slices.Clone(have), func(f imap.Flag) bool { return hasFlag(change.Flags, f) })
	default:
		return change.Flags
	}
}
