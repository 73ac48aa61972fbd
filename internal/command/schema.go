package command

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Errors that callers branch on.
var (
	// ErrNewer means the journal was made by a newer version of the program.
	ErrNewer = errors.New("the journal of orders was made by a newer version of this program")
	// errBroken means the journal is not what was written: it is set aside, and a fresh one is begun.
	errBroken = errors.New("the journal of orders is damaged")
	// errFull means that there is no room for another order until older ones may be forgotten.
	errFull = errors.New("the journal of orders is full")
	// errNoJournal means that none is open: the disk refuses.
	errNoJournal = errors.New("the journal of orders is not open")
)

const (
	fileName      = "orders.db"
	applicationID = 0x7570736f // "upso", in the header of the file
	// schemaVersion stands in user_version. A program that finds a higher one touches nothing.
	schemaVersion = 1
)

// schema is executed in one transaction. Every row has a checksum: a flipped bit shows as a damaged row.
//
// orders: one row per id. state is the place in wire.OrderStates, ended the journal's age when it became final (below 0: it is not),
// body an entryJSON.
// outbox: results that the store does not have yet, by their number. binds: by serial number. drops: when the load of a device was
// ordered to be dropped, by the journal's age.
var schema = []string{
	`CREATE TABLE meta (id INTEGER PRIMARY KEY, journal BLOB, counter INTEGER, number INTEGER, age INTEGER, boot BLOB, mono INTEGER, lost INTEGER, crc INTEGER)`,
	`CREATE TABLE orders (id BLOB PRIMARY KEY, state INTEGER, ended INTEGER, body BLOB, crc INTEGER) WITHOUT ROWID`,
	`CREATE INDEX orders_ended ON orders (ended)`,
	`CREATE TABLE outbox (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER)`,
	`CREATE TABLE binds (device TEXT PRIMARY KEY, body BLOB, crc INTEGER) WITHOUT ROWID`,
	`CREATE TABLE drops (id INTEGER PRIMARY KEY, device TEXT, age INTEGER, crc INTEGER)`,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a row: of its table, its numbers, and its bytes with their lengths.
func sum(table string, numbers []int64, texts ...[]byte) int64 {
	b := append([]byte(table), 0)
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for _, t := range texts {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(t)))
		b = append(b, t...)
	}
	return int64(crc32.Checksum(b, castagnoli))
}

func damaged(table string) error { return fmt.Errorf("%w: a row of %s", errBroken, table) }
