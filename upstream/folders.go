package upstream

import (
	"context"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailbridge/mailbox"
)

// maxFolders bounds a listing; a mail client is of no use with so many.
const maxFolders = 20_000

// List gives every mailbox of the user. Where the provider knows no special uses, they are
// guessed from the names; where it does not tell subscriptions, all count as subscribed.
func (c *Conn) List(ctx context.Context) ([]Folder, error) {
	extended := c.caps.ListExtended && c.caps.SpecialUse
	folders, err := c.list(ctx, extended)
	if extended && IsRefused(err) {
		// QUIRK: some servers advertise RETURN and answer BAD.
		extended = false
		folders, err = c.list(ctx, false)
	}
	if err != nil {
		return nil, err
	}
	if !extended {
		for i := range folders {
			folders[i].Subscribed = true
		}
	}
	guessUses(folders)
	return folders, nil
}

func (c *Conn) list(ctx context.Context, extended bool) ([]Folder, error) {
	var options *imap.ListOptions
	if extended {
		// QUIRK: Dovecot 2.4 returns only the attributes asked for.
		options = &imap.ListOptions{ReturnSubscribed: true, ReturnChildren: true, ReturnSpecialUse: true}
	}
	var folders []Folder
	err := c.run(ctx, "LIST", false, nil, func() error {
		command := c.client.List("", "*", options)
		for data := command.Next(); data != nil; data = command.Next() {
			if len(folders) < maxFolders {
				folders = append(folders, newFolder(data))
			}
		}
		return command.Close()
	})
	return folders, err
}

func newFolder(data *imap.ListData) Folder {
	f := Folder{Name: data.Mailbox, Delim: data.Delim}
	for _, attr := range data.Attrs {
		switch attr {
		case imap.MailboxAttrNoSelect, imap.MailboxAttrNonExistent:
			f.NoSelect = true
		case imap.MailboxAttrSubscribed:
			f.Subscribed = true
		case imap.MailboxAttrAll, imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrFlagged,
			imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash:
			f.Use = mailbox.Use(attr)
		}
	}
	return f
}

// usualNames are what providers without RFC 6154 call these mailboxes.
var usualNames = map[string]mailbox.Use{
	"archive": mailbox.UseArchive, "archives": mailbox.UseArchive, "archiv": mailbox.UseArchive,
	"drafts": mailbox.UseDrafts, "draft": mailbox.UseDrafts, "entwürfe": mailbox.UseDrafts, "brouillons": mailbox.UseDrafts, "borradores": mailbox.UseDrafts,
	"sent": mailbox.UseSent, "sent items": mailbox.UseSent, "sent messages": mailbox.UseSent, "sent mail": mailbox.UseSent,
	"gesendet": mailbox.UseSent, "gesendete objekte": mailbox.UseSent, "envoyés": mailbox.UseSent, "enviados": mailbox.UseSent,
	"trash": mailbox.UseTrash, "deleted items": mailbox.UseTrash, "deleted messages": mailbox.UseTrash, "bin": mailbox.UseTrash,
	"papierkorb": mailbox.UseTrash, "gelöschte objekte": mailbox.UseTrash, "corbeille": mailbox.UseTrash, "papelera": mailbox.UseTrash,
	"junk": mailbox.UseJunk, "spam": mailbox.UseJunk, "junk e-mail": mailbox.UseJunk, "junk email": mailbox.UseJunk,
	"bulk mail": mailbox.UseJunk, "spamverdacht": mailbox.UseJunk,
}

// guessUses gives a use that no mailbox has to the first mailbox with a usual name for it,
// at the top or right below INBOX.
func guessUses(folders []Folder) {
	taken := make(map[mailbox.Use]bool)
	for _, f := range folders {
		taken[f.Use] = true
	}
	for i, f := range folders {
		name := strings.ToLower(f.Name)
		if f.Delim != 0 {
			name = strings.TrimPrefix(name, "inbox"+string(f.Delim))
		}
		use, usual := usualNames[name]
		if usual && f.Use == "" && !f.NoSelect && !taken[use] {
			folders[i].Use = use
			taken[use] = true
		}
	}
}

func (c *Conn) statusItems() *imap.StatusOptions {
	return &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: c.caps.Condstore}
}

// Status answers STATUS.
func (c *Conn) Status(ctx context.Context, name string) (Status, error) {
	var status Status
	err := c.run(ctx, "STATUS", false, nil, func() error {
		data, err := c.client.Status(name, c.statusItems()).Wait()
		if err != nil {
			return err
		}
		status = newStatus(data)
		return nil
	})
	if err == nil && status.UIDValidity == 0 {
		err = &Error{Class: Permanent, Reason: ReasonProtocol, Op: "STATUS", Text: "the provider did not say the UIDVALIDITY"}
	}
	return status, err
}

// Statuses answers STATUS for several mailboxes, in one command where the server can do
// that. A mailbox for which the server refuses it is left out.
func (c *Conn) Statuses(ctx context.Context, names []string) (map[string]Status, error) {
	out := make(map[string]Status, len(names))
	if c.caps.ListStatus && len(names) > 1 {
		if err := c.listStatus(ctx, out); err != nil && !IsRefused(err) {
			return nil, err
		}
	}
	for _, name := range names {
		if _, done := out[name]; done {
			continue
		}
		status, err := c.Status(ctx, name)
		if err == nil {
			out[name] = status
		} else if !IsRefused(err) && c.Broken() {
			return nil, err
		}
	}
	return out, nil
}

func (c *Conn) listStatus(ctx context.Context, out map[string]Status) error {
	return c.run(ctx, "LIST", false, nil, func() error {
		command := c.client.List("", "*", &imap.ListOptions{ReturnStatus: c.statusItems()})
		for data := command.Next(); data != nil; data = command.Next() {
			if data.Status != nil && data.Status.UIDValidity != 0 && len(out) < maxFolders {
				out[data.Mailbox] = newStatus(data.Status)
			}
		}
		return command.Close()
	})
}

func newStatus(data *imap.StatusData) Status {
	status := Status{UIDValidity: data.UIDValidity, UIDNext: uint32(data.UIDNext), HighestModSeq: data.HighestModSeq}
	if data.NumMessages != nil {
		status.Messages = *data.NumMessages
	}
	return status
}

// Select opens a mailbox. readOnly: EXAMINE. UIDNext is 0 where the server does not say.
func (c *Conn) Select(ctx context.Context, name string, readOnly bool) (Selected, error) {
	var selected Selected
	op := "SELECT"
	if readOnly {
		op = "EXAMINE"
	}
	c.setSelected(false) // a refused SELECT closes the mailbox, too (RFC 3501, section 6.3.1)
	err := c.run(ctx, op, false, nil, func() error {
		c.filter.calm()
		data, err := c.client.Select(name, &imap.SelectOptions{ReadOnly: readOnly, CondStore: c.caps.Condstore}).Wait()
		if err != nil {
			return err
		}
		selected = newSelected(data)
		selected.UIDNotSticky = c.filter.answers().notSticky
		return nil
	})
	if err != nil {
		return Selected{}, err
	}
	if selected.UIDValidity == 0 {
		return Selected{}, &Error{Class: Permanent, Reason: ReasonProtocol, Op: op, Text: "the provider did not say the UIDVALIDITY"}
	}
	c.setSelected(true)
	return selected, nil
}

func newSelected(data *imap.SelectData) Selected {
	selected := Selected{UIDValidity: data.UIDValidity, UIDNext: uint32(data.UIDNext), Messages: data.NumMessages, HighestModSeq: data.HighestModSeq}
	permanent := data.PermanentFlags
	if permanent == nil {
		// RFC 3501, section 7.1: without PERMANENTFLAGS every flag can be changed for good.
		permanent = append(data.Flags, imap.FlagWildcard)
	}
	var flags []mailbox.Flag
	for _, f := range permanent {
		if f == imap.FlagWildcard {
			selected.AnyKeyword = true
			continue
		}
		flags = append(flags, mailbox.Flag(f))
	}
	selected.PermanentFlags = mailbox.NewFlags(flags...)
	return selected
}

func (c *Conn) setSelected(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selected = on
}

func (c *Conn) isSelected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.selected
}

// Create makes a mailbox.
func (c *Conn) Create(ctx context.Context, name string) error {
	return c.run(ctx, "CREATE", true, nil, func() error { return c.client.Create(name, nil).Wait() })
}

// Delete removes a mailbox.
func (c *Conn) Delete(ctx context.Context, name string) error {
	return c.run(ctx, "DELETE", true, nil, func() error { return c.client.Delete(name).Wait() })
}

// Rename renames a mailbox.
func (c *Conn) Rename(ctx context.Context, from, to string) error {
	return c.run(ctx, "RENAME", true, nil, func() error { return c.client.Rename(from, to, nil).Wait() })
}

// Subscribe changes a subscription.
func (c *Conn) Subscribe(ctx context.Context, name string, on bool) error {
	if on {
		return c.run(ctx, "SUBSCRIBE", true, nil, func() error { return c.client.Subscribe(name).Wait() })
	}
	return c.run(ctx, "UNSUBSCRIBE", true, nil, func() error { return c.client.Unsubscribe(name).Wait() })
}
