package account

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// A Delta Chat app, or another bridge, may use the same account with the same key. What is here
// lets both help and not disturb each other: what the other one needs stays at the provider, it
// gets a copy of what is sent from here, and what it sends is known as our own.

// settingDevices holds what is known of other devices.
const settingDevices = "other_devices"

// devices is what is known of other devices with our key.
type devices struct {
	// Possible: the key was imported or exported. Seen: something came that our key signed, and
	// that was not made here.
	Possible bool `json:"possible"`
	Seen     bool `json:"seen"`
	// Calls counts the sync messages that tell an app of us, LastCall is when the last was sent and
	// NextCall when the next is due; zero: none is.
	Calls    int       `json:"calls"`
	LastCall time.Time `json:"last_call"`
	NextCall time.Time `json:"next_call"`
}

// callPauses are between the sync messages after an export: when the key is put into the app is
// not known, the app reads no mail that came before, and until it reads one it deletes mail at
// the provider.
var callPauses = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

func readDevices(tx *db.Tx) (devices, error) {
	var d devices
	b, err := tx.Setting(settingDevices)
	if errors.Is(err, db.ErrNotFound) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(b, &d)
}

// putDevices stores what is known of other devices. From then on contact steps are left for
// them, and mail stays here that they delete at the provider.
func (a *Account) putDevices(tx *db.Tx, d devices) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	tx.AfterCommit(a.shareAccount)
	return tx.SetSetting(settingDevices, b)
}

func (a *Account) shareAccount() {
	a.shared.Store(true)
	a.mirror.KeepExpired()
}

// sawDevice remembers that another device is there. The first time it is told of us.
func (a *Account) sawDevice(tx *db.Tx) error {
	d, err := readDevices(tx)
	if err != nil || d.Seen {
		return err
	}
	d.Possible, d.Seen, d.NextCall = true, true, time.Time{}
	return errors.Join(a.putDevices(tx, d), a.call(tx, a.me()))
}

// expectDevice remembers that the key was handed to another device, or taken from one. again
// says that the device may not be there yet.
func (a *Account) expectDevice(tx *db.Tx, me *identity, again bool) error {
	d, err := readDevices(tx)
	if err != nil {
		return err
	}
	d.Possible, d.LastCall = true, a.now()
	if again && !d.Seen {
		d.Calls, d.NextCall = 0, a.now().Add(callPauses[0])
	}
	return errors.Join(a.putDevices(tx, d), a.call(tx, me))
}

// callDevices repeats the call for a device that was not seen yet. Housekeeping asks for it.
func (a *Account) callDevices(tx *db.Tx) error {
	d, err := readDevices(tx)
	if err != nil || d.NextCall.IsZero() || a.now().Before(d.NextCall) {
		return err
	}
	d.Calls++
	d.LastCall, d.NextCall = a.now(), time.Time{}
	if d.Calls < len(callPauses) {
		d.NextCall = a.now().Add(callPauses[d.Calls])
	}
	return errors.Join(a.putDevices(tx, d), a.call(tx, a.me()))
}

// suspectEvery bounds the calls that strangers can cause.
const suspectEvery = 10 * time.Minute

// suspectDevice calls a device that was not seen yet, at the next round of housekeeping: somebody
// answers an invite that was not made here.
func (a *Account) suspectDevice(tx *db.Tx) error {
	d, err := readDevices(tx)
	if err != nil || d.Seen || a.now().Sub(d.LastCall) < suspectEvery {
		return err
	}
	d.NextCall = a.now()
	return a.putDevices(tx, d)
}

// origin says who made a message that our key has signed.
type origin int

const (
	notOurs       origin = iota // somebody else signed it, or nobody
	madeHere                    // it was sent from here
	copyOfOurs                  // it is the copy for other devices of what was sent from here
	madeElsewhere               // another device of ours made it
)

// readOrigin tells whether our key has signed a message, and if so, who made it. All that is
// made here is in the outbox for ever, by its one Message-ID.
func (a *Account) readOrigin(ctx context.Context, m *arrival, opened *pgp.Opened, inner message.Header) error {
	if !a.signedByUs(opened) {
		return nil
	}
	m.origin = madeElsewhere
	ids := message.ParseMessageIDs(inner.Get("Message-ID"))
	if len(ids) != 1 {
		return nil
	}
	return a.db.View(ctx, func(tx *db.Tx) error {
		made, copied, err := tx.MadeHere(ids[0])
		switch {
		case copied:
			m.origin = copyOfOurs
		case made:
			m.origin = madeHere
		}
		return err
	})
}

// signedByUs reports whether our key of now has signed a message, for ourselves too.
func (a *Account) signedByUs(opened *pgp.Opened) bool {
	s := opened.Signature
	return s.State == pgp.SignatureGood && s.Signer == a.key().Fingerprint() && opened.IntendedForUs
}

// hidden is the ruling for mail between devices that no client is to see, and that other devices
// may still need.
func hidden(apply func(tx *db.Tx) error) mirror.Ruling {
	r := mirror.Ruling{Verdict: mirror.Hide, Kind: mirror.Control}
	if apply != nil {
		r.Apply = func(tx *db.Tx, _ int64) error { return apply(tx) }
	}
	return r
}

// copyToDevices sends what is sent from here to our own address as well, if there may be another
// device: it takes it for its own sent mail, and learns by its gossip whom it is for.
func (a *Account) copyToDevices(tx *db.Tx, messageID string, wire []byte, notBefore time.Time) error {
	if !a.shared.Load() {
		return nil
	}
	_, err := tx.Enqueue(db.Outgoing{
		Kind: db.OutCopy, MessageID: messageID, From: a.settings.Address, Encrypted: true,
		To: []db.OutgoingRecipient{{Addr: a.settings.Address}}, NextAt: notBefore, Created: a.now(),
	}, wire)
	return err
}

// copied says which steps of a handshake other devices follow.
func copied(s securejoin.Step) bool {
	return s == securejoin.RequestWithAuth || s == securejoin.ContactConfirm
}
