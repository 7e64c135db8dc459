package db

import "errors"

// Setting gives a value of the account's own, or ErrNotFound. Values are sealed.
func (tx *Tx) Setting(key string) ([]byte, error) {
	var sealed []byte
	if err := tx.queryRow(`SELECT value FROM settings WHERE key = ?`, key).Scan(&sealed); err != nil {
		return nil, err
	}
	return tx.open("settings", key, "value", sealed)
}

// SetSetting stores a value of the account's own.
func (tx *Tx) SetSetting(key string, value []byte) error {
	_, err := tx.exec(`INSERT INTO settings (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, tx.seal("settings", key, "value", value))
	return err
}

// DeleteSetting removes a value, if it is there.
func (tx *Tx) DeleteSetting(key string) error {
	_, err := tx.exec(`DELETE FROM settings WHERE key = ?`, key)
	return err
}

// HasSetting reports whether a value was stored under key.
func (tx *Tx) HasSetting(key string) (bool, error) {
	_, err := tx.Setting(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
