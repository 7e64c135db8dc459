package account

import (
	"context"
	"errors"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

func (a *Account) readChannel(_ context.Context, _ *arrival, _ securejoin.ChannelMessage, _ []autocrypt.Header) (chat, error) {
	return chat{}, nil
}

func (a *Account) channelStanding(*db.Tx, string, pgp.Fingerprint) (securejoin.Standing, error) {
	return securejoin.NoGroup, nil
}

func (a *Account) admitToChannel(*db.Tx, securejoin.Admit) error { return errors.ErrUnsupported }

func (a *Account) submitToChannel(_ context.Context, _ letter, _ string, _ db.Channel) (string, error) {
	return "", errors.ErrUnsupported
}
