package account

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/securejoin"
)

// tell leaves a note about a handshake, unless it was told already, and gives all that were.
func (a *Account) tell(tx *db.Tx, n securejoin.Note, told []note) ([]note, error) {
	if n.Kind == securejoin.NoteClaim {
		peer, err := tx.PeerOrNew(n.Addr)
		if _, kept := peer.Claim(n.Key); !kept || err != nil {
			return told, err // there were so many that no more are kept, and it could not be accepted
		}
	}
	where, err := a.whereOf(tx, n)
	if err != nil {
		return told, err
	}
	final, err := a.finalEndOf(tx, n)
	if err != nil {
		return told, err
	}
	news := handshakeNote(n, where, final)
	if slices.Contains(told, news) {
		return told, nil
	}
	return append(told, news), a.leave(tx, news)
}

// whereOf names the group or channel of a note, with what it is; empty: it is about a contact.
func (a *Account) whereOf(tx *db.Tx, n securejoin.Note) (string, error) {
	var kind securejoin.Kind
	var id, name string
	switch {
	case n.InviteID != 0:
		i, err := tx.Invite(n.InviteID)
		if err != nil {
			return "", notFoundIsNone(err)
		}
		kind, id = i.Kind, i.GroupID
	case n.JoinID != 0:
		j, err := tx.Join(n.JoinID)
		if err != nil {
			return "", notFoundIsNone(err)
		}
		kind, id, name = j.Link.Kind, j.Link.GroupID, j.Link.GroupName
	}
	if kind == securejoin.Contact {
		return "", nil
	}
	c, found, err := a.chatOf(tx, kind, id)
	if found {
		name = c.name
	}
	return fmt.Sprintf("the %s “%s”", kind, name), err
}

// finalEndOf says why the invite of a note about its end cannot live again; empty: it can.
func (a *Account) finalEndOf(tx *db.Tx, n securejoin.Note) (string, error) {
	if n.Kind != securejoin.NoteRevoked && n.Kind != securejoin.NoteExpired {
		return "", nil
	}
	i, err := tx.Invite(n.InviteID)
	if err != nil {
		return "", notFoundIsNone(err)
	}
	return a.finalEnd(tx, i)
}

func notFoundIsNone(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	return err
}

// handshakeNote words what a handshake has to tell. where is the group or channel that it is
// about; empty: a contact. final is why an invite that has ended cannot live again, if so.
func handshakeNote(n securejoin.Note, where, final string) note {
	switch n.Kind {
	case securejoin.NoteJoined:
		return joinedNote(n, where)
	case securejoin.NoteCompleted:
		return completedNote(n, where)
	case securejoin.NoteClaim:
		return claimNote(n, where)
	case securejoin.NoteAsked:
		return askedNote(n, where)
	case securejoin.NoteRevoked, securejoin.NoteExpired, securejoin.NoteUsed, securejoin.NoteNotFor:
		return refusedJoinNote(n, where, final)
	}
	what := "The invite of " + n.Addr
	if where != "" {
		what += " to " + where
	}
	return note{"A join has failed: " + n.Addr, fmt.Sprintf("%s could not be joined: %s.", what, n.Reason)}
}

const encryptedFromNow = "Mail to this contact is always encrypted from now on."

func joinedNote(n securejoin.Note, where string) note {
	subject, did := "Verified: "+n.Addr, "has joined by your invite"
	if where != "" {
		subject += ", in " + where
		did = "has joined " + where + " by your invite"
	}
	return note{subject, fmt.Sprintf("%s %s. %s\n\nFingerprint:\n%s", n.Addr, did, encryptedFromNow, n.Key)}
}

func completedNote(n securejoin.Note, where string) note {
	subject, did := "Verified: "+n.Addr, "You have joined the invite of "+n.Addr
	if where != "" {
		subject += ", in " + where
		did = "You have joined " + where + " by the invite of " + n.Addr
	}
	return note{subject, fmt.Sprintf("%s. %s\n\nFingerprint:\n%s", did, encryptedFromNow, n.Key)}
}

func claimNote(n securejoin.Note, where string) note {
	text := fmt.Sprintf("Somebody who holds an invite uses the address %s with another key than the one you have for it. "+
		"Nothing is encrypted to the new key until you accept it:\n\n  bridge contact accept %s %s\n\n", n.Addr, n.Addr, n.Key)
	if where != "" && n.InviteID != 0 {
		text += "Until then nobody is taken into " + where + " by this.\n\n"
	}
	return note{"Another key for " + n.Addr, text + fmt.Sprintf("Known key:\n%s\nNew key:\n%s", n.Holder, n.Key)}
}

// askedNote tells of a joiner who waits. To do nothing is to decline: nobody is told.
func askedNote(n securejoin.Note, where string) note {
	what := "to become your contact"
	if where != "" {
		what = "to join " + where
	}
	return note{"Somebody asks to join: " + n.Addr, fmt.Sprintf("%s asks %s by your invite %d. Accept with:\n\n  bridge invite accept %d %s\n\n"+
		"Until then nothing happens, and nobody hears anything.\n\nFingerprint:\n%s", n.Addr, what, n.InviteID, n.InviteID, n.Addr, n.Key)}
}

// refusedJoinNote tells exactly why a join was refused. The joiner hears nothing.
func refusedJoinNote(n securejoin.Note, where, final string) note {
	what := fmt.Sprintf("your invite %d", n.InviteID)
	if where != "" {
		what += " to " + where
	}
	revive := fmt.Sprintf("\n\nIf it is to be good again:\n\n  bridge invite revive %d", n.InviteID)
	if final != "" {
		revive = "\n\nIt cannot be made good again: " + final + "."
	}
	day := n.At.Format(time.DateOnly)
	var end string
	switch {
	case n.Kind == securejoin.NoteRevoked && n.UsedBy != "": // it cannot be revived
		end = fmt.Sprintf("which was used by %s and revoked on %s.", n.UsedBy, day)
	case n.Kind == securejoin.NoteRevoked:
		end = "which was revoked on " + day + "." + revive
	case n.Kind == securejoin.NoteNotFor:
		end = fmt.Sprintf("which is for %s alone: somebody else has its link.\n\nEnd it, and make a new one:\n\n  bridge invite revoke %d\n  bridge contact verify %s", n.For, n.InviteID, n.For)
	case n.Kind == securejoin.NoteExpired:
		end = "which expired on " + day + "." + revive
	default:
		end = fmt.Sprintf("which was for one use and was already used by %s on %s.\n\nFor somebody else make a new one:\n\n  bridge invite --once", n.UsedBy, day)
	}
	return note{"A join was refused: " + n.Addr, fmt.Sprintf("%s tried to join by %s, %s", n.Addr, what, end)}
}
