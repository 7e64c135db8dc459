package securejoin

import (
	"strings"

	"mailbridge/message"
)

// Step is a message of the handshake.
type Step int

const (
	NoStep Step = iota
	// Legacy: inviter's side of the two-token protocol begins here.
	Request
	AuthRequired
	// v3.
	RequestPubkey
	Pubkey
	// Both.
	RequestWithAuth
	ContactConfirm
	MemberAdded
)

// Names of the header fields.
const (
	FieldStep        = "Secure-Join"
	FieldNumber      = "Secure-Join-Invitenumber"
	FieldAuth        = "Secure-Join-Auth"
	FieldFingerprint = "Secure-Join-Fingerprint"
	FieldGroup       = "Secure-Join-Group"
)

var stepNames = map[Step]string{
	Request:         "vc-request",
	AuthRequired:    "vc-auth-required",
	RequestPubkey:   "vc-request-pubkey",
	Pubkey:          "vc-pubkey",
	RequestWithAuth: "vc-request-with-auth",
	ContactConfirm:  "vc-contact-confirm",
	MemberAdded:     "vg-member-added",
}

// String is the value of the Secure-Join field, for a contact.
func (s Step) String() string { return stepNames[s] }

// Name is the value of the Secure-Join field, for a group or channel the one
// that begins with "vg-".
func (s Step) Name(k Kind) string {
	if k != Contact && s.hasGroupForm() {
		return groupForm(s.String())
	}
	return s.String()
}

const groupPrefix = "vg-"

func groupForm(name string) string { return groupPrefix + strings.TrimPrefix(name, "vc-") }

func groupPrefixed(name string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(name)), groupPrefix)
}

// StepOf tells the step of a message by its header. The number makes it a
// request, whatever Secure-Join says. "vc-" and "vg-" are not told apart:
// what an AUTH is for, its inviter knows.
func StepOf(h message.Header) (Step, bool) {
	if h.Has(FieldNumber) {
		return Request, true
	}
	value := strings.ToLower(strings.TrimSpace(h.Get(FieldStep)))
	for step, name := range stepNames {
		if value == name || step.hasGroupForm() && value == groupForm(name) {
			return step, true
		}
	}
	return NoStep, false
}

// hasGroupForm: steps that are also written with "vg-". Those of v3's
// exchange of keys never are.
func (s Step) hasGroupForm() bool {
	return s == Request || s == AuthRequired || s == RequestWithAuth
}

// Answered: steps that the other side answers at once if it is there.
func (s Step) Answered() bool {
	switch s {
	case Request, RequestPubkey, Pubkey, AuthRequired, RequestWithAuth:
		return true
	}
	return false
}
