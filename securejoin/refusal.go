package securejoin

import "errors"

// Why a message had no effect. The sender is never told.
var (
	ErrNotOurs      = errors.New("securejoin: message is of no handshake of ours")
	ErrPlain        = errors.New("securejoin: step was not encrypted as it must be")
	ErrUnsigned     = errors.New("securejoin: step has no good signature")
	ErrSigner       = errors.New("securejoin: step is signed by another key than the invite's")
	ErrAuth         = errors.New("securejoin: authentication token is missing or wrong")
	ErrFrom         = errors.New("securejoin: senders inside and outside differ")
	ErrAddr         = errors.New("securejoin: sender is not an address of the invite")
	ErrGossip       = errors.New("securejoin: own key is not confirmed by gossip")
	ErrFingerprint  = errors.New("securejoin: fingerprint does not agree with the signer")
	ErrKey          = errors.New("securejoin: key inside is not the signer's")
	ErrNoMessageID  = errors.New("securejoin: step has no Message-ID")
	ErrBlocked      = errors.New("securejoin: sender is blocked")
	ErrOwn          = errors.New("securejoin: step was made with our own key or address")
	ErrEnded        = errors.New("securejoin: invite has ended")
	ErrTooMany      = errors.New("securejoin: too many answers are waiting")
	ErrRepeat       = errors.New("securejoin: step was taken before")
	ErrOutOfOrder   = errors.New("securejoin: step does not fit the state")
	ErrNoGroup      = errors.New("securejoin: group is gone, or we are not in it")
	ErrAsked        = errors.New("securejoin: joiner waits for the user")
	ErrNotSupported = errors.New("securejoin: step is not supported")
)

func refuse(v Verdict, why error) Outcome { return Outcome{Verdict: v, Refused: why} }
