package account

import (
	"time"

	"mailbridge/pgp"
)

// Settings are what `bridge account add` fixes for an account. Secrets are not in here.
type Settings struct {
	Address       string
	Name          string // display name for invites and handshakes; may be empty
	Login         string // the provider's user name; empty: the address
	IMAP, SMTP    Server
	CAFile        string // PEM file with extra roots for the provider; empty: the system's
	CA            []byte // what CAFile held when the account was added; the file may go
	PreferEncrypt string // "mutual" or "nopreference"
}

// Server is one of the provider's servers.
type Server struct {
	Host string
	Port int
	TLS  string // "tls" or "starttls"
}

// Status is what `bridge status` says of one account.
type Status struct {
	Address     string     `json:"address"`
	State       string     `json:"state"`    // running, stopped, locked, failed
	Provider    string     `json:"provider"` // connected, connecting, offline, login-refused, certificate-not-trusted
	LastSync    *time.Time `json:"last_sync"`
	Syncing     bool       `json:"syncing"`
	Queued      int        `json:"queued"`
	Unknown     int        `json:"unknown"`
	OpenInvites int        `json:"open_invites"`
	Warnings    []string   `json:"warnings"`
}

// Invite is an invite as `bridge invite` shows it.
type Invite struct {
	ID        string         `json:"id"`
	Link      string         `json:"link"`                 // empty where the group or channel is gone
	Kind      string         `json:"kind"`                 // contact, group, channel
	Address   string         `json:"address,omitempty"`    // local address of the group or channel
	GroupName string         `json:"group_name,omitempty"` // of the group or channel
	State     string         `json:"state"`                // live, revoked, expired, used
	Created   time.Time      `json:"created"`
	ExpiresAt *time.Time     `json:"expires_at"`
	RevokedAt *time.Time     `json:"revoked_at"`
	Once      bool           `json:"once"`
	Ask       bool           `json:"ask"`
	Shared    bool           `json:"shared"`
	Legacy    bool           `json:"legacy"`
	For       string         `json:"for,omitempty"` // the one address that may join
	Way       string         `json:"way"`           // shown, printed, copied, mailed; empty: unknown
	Uses      []InviteJoiner `json:"uses"`
	Asking    []InviteJoiner `json:"asking"` // who wait for `bridge invite accept`
}

// InviteJoiner is somebody who has joined by an invite, or waits to.
type InviteJoiner struct {
	Address     string          `json:"address"`
	Name        string          `json:"name,omitempty"`
	Fingerprint pgp.Fingerprint `json:"fingerprint"`
	At          time.Time       `json:"at"`
}

// InviteOptions are what `bridge invite` may ask for.
type InviteOptions struct {
	Group   string         `json:"group,omitempty"`   // id or local address
	Channel string         `json:"channel,omitempty"` // id or local address
	Expires *time.Duration `json:"expires,omitempty"` // from now; nil: as usual for its kind; 0: never
	Once    bool           `json:"once,omitempty"`
	Ask     bool           `json:"ask,omitempty"`
	Shared  bool           `json:"shared,omitempty"`
	Legacy  bool           `json:"legacy,omitempty"`
	For     string         `json:"for,omitempty"` // the one address that may join
	Way     string         `json:"way,omitempty"`
}

// JoinOptions are what `bridge join` may ask for.
type JoinOptions struct {
	Replace bool   `json:"replace,omitempty"` // gives up the key that the address has
	Way     string `json:"way,omitempty"`     // how the link came here
}

// Join is a join of somebody else's invite, as far as it got.
type Join struct {
	ID          string          `json:"id"`
	Address     string          `json:"address"`
	Name        string          `json:"name,omitempty"` // of the inviter, as the link says
	Fingerprint pgp.Fingerprint `json:"fingerprint"`
	Kind        string          `json:"kind"` // contact, group, channel
	GroupName   string          `json:"group_name,omitempty"`
	State       string          `json:"state"` // one of the JoinStates below
	Reason      string          `json:"reason,omitempty"`
	Way         string          `json:"way"`
	Started     time.Time       `json:"started"`
	Updated     time.Time       `json:"updated"`
}

// Verification is what `bridge contact verify` did: it made an invite, or verified by hand.
type Verification struct {
	Contact Contact `json:"contact"`
	Invite  *Invite `json:"invite"`
}

// Group is a group as `bridge group list` shows it.
type Group struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Address    string   `json:"address"`
	Encryption string   `json:"encryption"` // required, when-possible
	Member     bool     `json:"member"`     // we are in it
	Members    []Member `json:"members"`
}

// Member is somebody in a group, or a subscriber of a channel.
type Member struct {
	Address     string          `json:"address"`
	Name        string          `json:"name,omitempty"`
	Fingerprint pgp.Fingerprint `json:"fingerprint"`
	Since       *time.Time      `json:"since"`
}

// Channel is a channel as `bridge channel list` shows it.
type Channel struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Address     string     `json:"address"`
	Own         bool       `json:"own"`
	Owner       Member     `json:"owner"`
	Open        bool       `json:"open"` // posts can be written, or read
	Subscribers int        `json:"subscribers"`
	RotatedAt   *time.Time `json:"rotated_at"`
	RotateEvery string     `json:"rotate_every,omitempty"` // Go duration; empty: only when somebody is removed
}

// Contact is a correspondent as `bridge contacts` shows it.
type Contact struct {
	Address            string            `json:"address"`
	Name               string            `json:"name,omitempty"`
	Fingerprint        pgp.Fingerprint   `json:"fingerprint"`
	Verified           bool              `json:"verified"`
	VerifiedAt         *time.Time        `json:"verified_at"`
	VerifiedHow        string            `json:"verified_how"`
	VerifiedWay        string            `json:"verified_way"` // how the link was handed over
	IntroducedBy       string            `json:"introduced_by"`
	Origin             string            `json:"origin"`
	Policy             string            `json:"policy"`
	Blocked            bool              `json:"blocked"`
	PreferEncrypt      string            `json:"prefer_encrypt"`
	LastSeen           *time.Time        `json:"last_seen"`
	AutocryptTimestamp *time.Time        `json:"autocrypt_timestamp"`
	Candidates         []pgp.Fingerprint `json:"candidates"`
}

// Check is what would happen to mail for one recipient.
type Check struct {
	Address        string `json:"address"`
	Outcome        string `json:"outcome"` // encrypt, plain, refuse
	Recommendation string `json:"recommendation"`
	Reason         string `json:"reason"`
}

// OwnKey is the account's own public key.
type OwnKey struct {
	Address     string          `json:"address"`
	Fingerprint pgp.Fingerprint `json:"fingerprint"`
	Armored     string          `json:"armored"`
}

// The states of a Join. A claim is complete, but the address has another key.
const (
	JoinPending   = "pending"
	JoinCompleted = "completed"
	JoinFailed    = "failed"
	JoinClaim     = "claim"
)
