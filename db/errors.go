package db

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("db: not found")
	// ErrNewer: a newer mailbridge has written the file; this one leaves it alone.
	ErrNewer = errors.New("db: the index was written by a newer version of mailbridge")
	// ErrFull: the disk, or the quota, is full. Nothing of the transaction was kept.
	ErrFull = errors.New("db: no space left for the index")
	// ErrIO: the file cannot be read or written.
	ErrIO = errors.New("db: the index cannot be read or written")
	// ErrCorrupt: the file is damaged or not ours.
	ErrCorrupt = errors.New("db: the index is damaged")
	// ErrLocked: the key does not open what is sealed.
	ErrLocked = errors.New("db: wrong key")
	// ErrClosed: the index was closed.
	ErrClosed = errors.New("db: closed")
)

// classify gives SQLite's errors the classes above and lets all others pass.
func classify(err error) error {
	var lite sqlite3.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.Is(err, sql.ErrConnDone), err.Error() == "sql: database is closed":
		return ErrClosed
	case errors.As(err, &lite):
		return fmt.Errorf("%w: %w", class(lite), err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	return err
}

// class maps a result code (https://sqlite.org/rescode.html). A write that the system cuts
// short, because of a quota or RLIMIT_FSIZE, is SQLITE_IOERR_WRITE with EFBIG or EDQUOT.
func class(err sqlite3.Error) error {
	switch err.Code {
	case sqlite3.ErrFull:
		return ErrFull
	case sqlite3.ErrIoErr:
		switch err.SystemErrno {
		case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
			return ErrFull
		}
		return ErrIO
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return ErrCorrupt
	case sqlite3.ErrCantOpen, sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrBusy, sqlite3.ErrLocked:
		return ErrIO
	}
	return errQuery
}

// errQuery is a statement that fails for a reason of its own, a broken constraint for one.
var errQuery = errors.New("db: query")
