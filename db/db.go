// Package db is one SQLite file per account: schema, migrations, typed queries, sealed
// columns, and one write transaction at a time.
//
// Invariants:
//
//   - An effect is a committed row before it is a packet.
//   - Commit, then broadcast, then sockets. No network inside a transaction: what follows
//     from a commit is registered with [Tx.AfterCommit].
//   - The writer runs with synchronous=FULL: a UID that a client has cached, or an outbox
//     row that was sent, does not roll back with the power.
//   - A wrong or missing key, a full disk or a damaged file never resets anything.
//
// Secrets, opened bodies and the index values of opened mail are sealed one by one with the
// account's data key (see seal.go); flags, UIDs, sizes and the headers of mail that the
// provider has in the clear are not.
package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"

	"github.com/mattn/go-sqlite3"
)

// readers is how many snapshots can be read at once. Readers never wait for the writer
// (WAL), only for each other.
const readers = 4

// pageSize is SQLite's default, written down because Options.MaxBytes is counted in pages.
const pageSize = 4096

// Options are for tests and for accounts with a quota. The zero value is fine.
type Options struct {
	// MaxBytes bounds the file; a transaction that needs more fails with ErrFull. Zero: no bound.
	MaxBytes int64
}

// DB is the open index of one account. Its methods may be called from several goroutines.
type DB struct {
	writer, reader *sql.DB
	write          chan struct{} // holds a token while nobody writes
	keys           keys
	closing        sync.Once
}

// Open opens the file at path, or makes it, and brings its schema up to date. key is the
// account's data key; a file that was sealed with another one gives ErrLocked.
func Open(ctx context.Context, path string, key Key, o Options) (*DB, error) {
	if err := touch(path); err != nil {
		return nil, classify(err)
	}
	db := &DB{
		writer: connect(path, "rwc", "immediate", o),
		reader: connect(path, "rw", "deferred", o),
		write:  make(chan struct{}, 1),
		keys:   deriveKeys(key),
	}
	db.write <- struct{}{}
	db.writer.SetMaxOpenConns(1)
	db.reader.SetMaxOpenConns(readers)
	if err := db.prepare(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// prepare migrates the schema, proves the key, and fills in what a migration cannot: it has no
// key.
func (db *DB) prepare(ctx context.Context) error {
	if err := db.Update(ctx, migrate); err != nil {
		return err
	}
	if err := db.Update(ctx, proveKey); err != nil {
		return err
	}
	if err := db.Update(ctx, hashNumbers); err != nil {
		return err
	}
	return db.Update(ctx, bundleAll)
}

// touch makes the file with mode 0600 before SQLite does; the -wal and -shm files inherit it.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// connector opens connections to one file with a bound on its size, which SQLite takes
// per connection and not from the DSN.
type connector struct {
	driver *sqlite3.SQLiteDriver
	dsn    string
}

func (c *connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c *connector) Driver() driver.Driver                        { return c.driver }

func connect(path, mode, lock string, o Options) *sql.DB {
	query := url.Values{
		"mode":          {mode},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_busy_timeout": {"5000"},
		"_foreign_keys": {"1"},
		"_txlock":       {lock},
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	hook := func(c *sqlite3.SQLiteConn) error {
		if o.MaxBytes == 0 {
			return nil
		}
		_, err := c.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", max(1, o.MaxBytes/pageSize)), nil)
		return err
	}
	return sql.OpenDB(&connector{&sqlite3.SQLiteDriver{ConnectHook: hook}, dsn.String()})
}

// Close waits for the running write transaction and closes the file.
func (db *DB) Close() error {
	var err error
	db.closing.Do(func() {
		<-db.write
		close(db.write)
		err = errors.Join(db.reader.Close(), db.writer.Close())
	})
	return classify(err)
}

// Update runs fn in the one write transaction and commits if fn returns nil; then the
// functions registered with AfterCommit run. ctx bounds the wait for the writer and is seen
// by fn; a transaction that has come to its commit is not torn down by it.
//
// fn must not call Update or View of the same DB, and must touch no network.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	select {
	case token, open := <-db.write:
		if !open {
			return ErrClosed
		}
		defer func() { db.write <- token }()
	case <-ctx.Done():
		return ctx.Err()
	}
	tx, err := db.run(ctx, db.writer, fn)
	if err != nil {
		return err
	}
	for _, after := range tx.after {
		after()
	}
	return nil
}

// View runs fn over one snapshot of the file.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	_, err := db.run(ctx, db.reader, fn)
	return err
}

// run is Update and View without the lock. Statements run without ctx's cancellation, which
// would cost go-sqlite3 a goroutine each; they are short.
func (db *DB) run(ctx context.Context, pool *sql.DB, fn func(*Tx) error) (*Tx, error) {
	quiet := context.WithoutCancel(ctx)
	conn, err := pool.BeginTx(quiet, nil)
	if err != nil {
		return nil, classify(err)
	}
	defer conn.Rollback()
	tx := &Tx{ctx: ctx, quiet: quiet, tx: conn, keys: &db.keys}
	if err := fn(tx); err != nil {
		return nil, classify(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return tx, classify(conn.Commit())
}

// Tx is one transaction. It is not for use by several goroutines, nor after its function
// has returned.
type Tx struct {
	ctx, quiet context.Context
	tx         *sql.Tx
	keys       *keys
	after      []func()
}

// Context is the context the transaction was begun with.
func (tx *Tx) Context() context.Context { return tx.ctx }

// AfterCommit registers a function that runs once the transaction is durable, still before
// the next write transaction begins. It must be quick, and must not write. It never runs if
// the transaction fails.
func (tx *Tx) AfterCommit(fn func()) { tx.after = append(tx.after, fn) }

func (tx *Tx) exec(query string, args ...any) (sql.Result, error) {
	if err := tx.ctx.Err(); err != nil {
		return nil, err
	}
	res, err := tx.tx.ExecContext(tx.quiet, query, args...)
	return res, classify(err)
}

// insert runs an INSERT and gives the new row's id.
func (tx *Tx) insert(query string, args ...any) (int64, error) {
	res, err := tx.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// execOne runs a statement that must change exactly one row; ErrNotFound otherwise.
func (tx *Tx) execOne(query string, args ...any) error {
	res, err := tx.exec(query, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		return ErrNotFound
	}
	return err
}

// query runs fn for each row of the result.
func (tx *Tx) query(fn func(scan func(...any) error) error, query string, args ...any) error {
	if err := tx.ctx.Err(); err != nil {
		return err
	}
	rows, err := tx.tx.QueryContext(tx.quiet, query, args...)
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return classify(rows.Err())
}

// row is a single result row; Scan gives ErrNotFound where there is none.
type row struct{ row *sql.Row }

func (r row) Scan(dest ...any) error { return classify(r.row.Scan(dest...)) }

func (tx *Tx) queryRow(query string, args ...any) row {
	return row{tx.tx.QueryRowContext(tx.quiet, query, args...)}
}

// prepare gives a statement for many executions in one transaction.
func (tx *Tx) prepare(query string) (*sql.Stmt, error) {
	stmt, err := tx.tx.PrepareContext(tx.quiet, query)
	return stmt, classify(err)
}

// nullable maps the zero id to NULL; deref is its inverse.
func nullable(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

func deref(id *int64) int64 {
	if id == nil {
		return 0
	}
	return *id
}
