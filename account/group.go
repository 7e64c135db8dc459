package account

import (
	"context"
	"errors"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

func (a *Account) readGroup(_ context.Context, _ *arrival, _ securejoin.GroupMessage, _ []autocrypt.Header) (chat, error) {
	return chat{}, nil
}

func (a *Account) groupStanding(*db.Tx, string, pgp.Fingerprint) (securejoin.Standing, error) {
	return securejoin.NoGroup, nil
}

func (a *Account) admitToGroup(*db.Tx, securejoin.Admit) error { return errors.ErrUnsupported }

func (a *Account) submitToGroup(_ context.Context, _ letter, _ string, _ db.Group) (string, error) {
	return "", errors.ErrUnsupported
}
