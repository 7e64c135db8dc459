package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
)

// storage is the form in which a client's message goes to the provider.
type storage int

const (
	storeAsGiven storage = iota
	storeSealed
)

// Append stores a message that a client gives. This is the one place that decides whether
// it goes up sealed or as it is.
func (a *Account) Append(ctx context.Context, name string, msg []byte, flags mailbox.Flags, date time.Time) (uint32, mailbox.UID, error) {
	info, err := a.mirror.Mailbox(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	if info.NoSelect {
		return 0, 0, mailbox.Errorf(mailbox.CodeCannot, "This mailbox holds no messages.")
	}
	if info.Name == mailbox.Bridge {
		return 0, 0, mailbox.Errorf(mailbox.CodeCannot, "The mailbox Bridge holds only the bridge's own notes.")
	}
	if date.IsZero() {
		date = a.now()
	}
	local := mirror.Local{Mailbox: info.Name, Flags: flags.Storable(), Date: date}
	if err := a.prepareAppend(ctx, info, msg, &local); err != nil {
		return 0, 0, err
	}
	var added mirror.Added
	err = a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if info.Use == mailbox.UseSent {
			var claimed bool
			if added, claimed, err = a.claimSent(tx, msg, local.Flags, date); err != nil || claimed {
				return err
			}
		}
		added, err = a.mirror.Add(tx, local)
		return err
	})
	if errors.Is(err, db.ErrFull) {
		return 0, 0, &mailbox.Error{Code: mailbox.CodeOverQuota, Text: "The disk is full. The message was not stored.", Err: err}
	}
	return added.UIDValidity, added.UID, err
}

// prepareAppend decides the form and makes the bytes that go up.
func (a *Account) prepareAppend(ctx context.Context, info mailbox.Info, msg []byte, local *mirror.Local) error {
	root := message.Parse(msg)
	if ids := message.ParseMessageIDs(root.Header.Get("Message-ID")); len(ids) > 0 {
		local.MessageID = ids[0]
	}
	form, err := a.formOf(ctx, info, msg, root, local.Flags)
	if err != nil {
		return err
	}
	if form == storeAsGiven {
		local.Kind, local.Wire = mirror.Ordinary, msg
		return nil
	}
	wire, err := a.seal(msg, local.MessageID, nil)
	if err != nil {
		return err
	}
	local.Kind, local.View, local.Wire = mirror.Sealed, msg, wire
	return nil
}

// formOf decides: drafts, templates, sent mail and whatever holds opened mail is sealed, whatever
// it says of itself; a message that is ciphertext, or has nothing to do with us, goes up as it is.
func (a *Account) formOf(ctx context.Context, info mailbox.Info, msg []byte, root *message.Part, flags mailbox.Flags) (storage, error) {
	switch {
	case flags.Has(mailbox.Draft), info.Use == mailbox.UseDrafts, isTemplates(info.Name), isDraft(root.Header):
		return storeSealed, nil
	case carriesOpened(msg, root), carriesNote(msg, root):
		return storeSealed, nil
	case isCiphertext(msg, root):
		return storeAsGiven, nil
	case info.Use == mailbox.UseSent:
		return storeSealed, nil
	}
	ids := nestedMessageIDs(msg, root)
	known, err := a.anywhere(ctx, func(tx *db.Tx) (bool, error) {
		opened, err := tx.AnyOpened(ids)
		if opened || err != nil {
			return opened, err
		}
		return tx.AnyProtected(ids) // its row may be gone
	})
	if err != nil || !known {
		return storeAsGiven, err
	}
	return storeSealed, nil
}

// isTemplates reports whether a mailbox holds templates: no special use names them, so it
// goes by the names that Thunderbird, KMail and Evolution give it, and its parents.
func isTemplates(name string) bool {
	return slices.ContainsFunc(strings.Split(strings.ToLower(name), string(mailbox.Delimiter)), func(level string) bool {
		return level == "templates" || level == "vorlagen"
	})
}

// isDraft reports whether a client has marked a message as not sent yet: Thunderbird's drafts
// and templates, Outlook's, and those of Autocrypt Level 1.
func isDraft(h message.Header) bool {
	return h.Has("X-Mozilla-Draft-Info") || h.Has("Autocrypt-Draft-State") || h.Get("X-Unsent") == "1"
}

// seal encrypts a message to the own key so that the provider learns nothing but that
// there is one. It is signed only if signer is set: a signed draft would be a signed
// statement. The tag shows later that it was sealed here.
func (a *Account) seal(msg []byte, messageID string, signer *pgp.Key) ([]byte, error) {
	if messageID == "" {
		messageID = newMessageID()
	}
	outer, payload := headers.Seal(msg, a.settings.Address, messageID, a.now(), a.sealTag(msg))
	sealed, err := pgp.Encrypt(payload, pgp.EncryptOptions{
		Signer: signer, To: []*pgp.Cert{a.key().Cert()}, Now: a.now(), Compress: true,
	})
	if err != nil {
		return nil, err
	}
	return pgp.JoinEncrypted(outer.Bytes(), sealed, newBoundary()), nil
}

// sealTag authenticates what was sealed here.
func (a *Account) sealTag(msg []byte) string {
	mac := hmac.New(sha256.New, a.tagKey)
	mac.Write(msg)
	return hex.EncodeToString(mac.Sum(nil))
}

// sealedHere checks a tag in constant time.
func (a *Account) sealedHere(msg []byte, tag string) bool {
	return hmac.Equal([]byte(a.sealTag(msg)), []byte(tag))
}
