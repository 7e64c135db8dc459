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
	ID        string     `json:"id"`
	Link      string     `json:"link"`
	ExpiresAt *time.Time `json:"expires_at"`
	Once      bool       `json:"once"`
}

// Join is a join of somebody else's invite, as far as it got.
type Join struct {
	ID          string          `json:"id"`
	Address     string          `json:"address"`
	Fingerprint pgp.Fingerprint `json:"fingerprint"`
	State       string          `json:"state"` // one of the JoinStates below
	Reason      string          `json:"reason,omitempty"`
}

// Contact is a correspondent as `bridge contacts` shows it.
type Contact struct {
	Address            string            `json:"address"`
	Name               string            `json:"name,omitempty"`
	Fingerprint        pgp.Fingerprint   `json:"fingerprint"`
	Verified           bool              `json:"verified"`
	VerifiedAt         *time.Time        `json:"verified_at"`
	VerifiedHow        string            `json:"verified_how"`
	IntroducedBy       string            `json:"introduced_by"`
	Origin             string            `json:"origin"`
	Policy             string            `json:"policy"`
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

// InviteOptions are what `bridge invite` may ask for. There is nothing to choose yet.
type InviteOptions struct{}
