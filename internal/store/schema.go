package store

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"upsedge/internal/wire"
)

const (
	applicationID = 0x75707365 // "upse", in the header of the file
	pageSize      = 4096       // bytes; also the block of most flash file systems
)

// schema is executed in one transaction. The lanes carry no constraint beyond their key on purpose: a flipped bit in a value
// must show as one damaged record, not as a file that fails its structural check. Text stands here as SQLite keeps it, it is
// compared at Open. name is the unit once more.
//
// seal is the number of the key with a minus sign, or, of what version 1 wrote and nobody has sealed yet, its CRC-32C.
var schema = []string{
	`CREATE TABLE meta (id INTEGER PRIMARY KEY, version INTEGER, stream BLOB, boot INTEGER, set_aside TEXT, crc INTEGER)`,
	`CREATE TABLE lanes (lane INTEGER PRIMARY KEY, last INTEGER, records INTEGER, bytes INTEGER, crc INTEGER, done INTEGER)`,
	`CREATE TABLE events (seq INTEGER PRIMARY KEY, class INTEGER, epoch INTEGER, boot INTEGER, boot_id BLOB, mono INTEGER, wall INTEGER, seal INTEGER, payload BLOB)`,
	`CREATE TABLE samples (seq INTEGER PRIMARY KEY, class INTEGER, epoch INTEGER, boot INTEGER, boot_id BLOB, mono INTEGER, wall INTEGER, seal INTEGER, payload BLOB)`,
	`CREATE TABLE gaps (seq INTEGER PRIMARY KEY, lane INTEGER, first INTEGER, last INTEGER, reason TEXT)`,
	`CREATE TABLE raises (unit TEXT, alarm INTEGER, seq INTEGER, crc INTEGER, PRIMARY KEY (unit, alarm)) WITHOUT ROWID`,
	`CREATE TABLE units (unit TEXT PRIMARY KEY, run INTEGER, boot_id BLOB, mono INTEGER, wall INTEGER, state BLOB, seal INTEGER, name TEXT, crc INTEGER) WITHOUT ROWID`,
	`CREATE TABLE interruptions (id INTEGER PRIMARY KEY, unit TEXT, boot_id BLOB, mono INTEGER, wall INTEGER, to_boot_id BLOB, to_mono INTEGER, to_wall INTEGER, name TEXT, crc INTEGER)`,
	`CREATE TABLE keys (id INTEGER PRIMARY KEY, unit TEXT, epoch INTEGER, gone TEXT, crc INTEGER)`,
	`CREATE TABLE keyring (id INTEGER PRIMARY KEY, next INTEGER, crc INTEGER)`,
	`CREATE TABLE unsealed (lane INTEGER PRIMARY KEY, first INTEGER, last INTEGER)`,
	`CREATE TABLE holes (lane INTEGER, first INTEGER, last INTEGER, crc INTEGER)`,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordCRC is what version 1 kept with a record: it covers every field.
func recordCRC(r *wire.Record) int64 {
	var b [50]byte
	b[0], b[1] = byte(r.Lane), byte(r.Class)
	binary.LittleEndian.PutUint64(b[2:], r.Seq)
	binary.LittleEndian.PutUint32(b[10:], r.Epoch)
	binary.LittleEndian.PutUint32(b[14:], r.Boot)
	copy(b[18:], r.Stamp.BootID[:])
	binary.LittleEndian.PutUint64(b[34:], uint64(r.Stamp.Mono))
	binary.LittleEndian.PutUint64(b[42:], uint64(wallNanos(r.Stamp)))
	return int64(crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, r.Payload))
}

// numbersCRC is the checksum of rows that consist of numbers.
func numbersCRC(prefix []byte, numbers ...int64) int64 {
	b := append([]byte(nil), prefix...)
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return int64(crc32.Checksum(b, castagnoli))
}

// wallNanos is how a wall time is kept: nanoseconds since 1970, 0 for untrusted.
func wallNanos(s wire.Stamp) int64 {
	if s.Wall.IsZero() {
		return 0
	}
	return s.Wall.UnixNano()
}

func stampOf(bootID []byte, mono, wall int64) wire.Stamp {
	s := wire.Stamp{Mono: time.Duration(mono)}
	copy(s.BootID[:], bootID)
	if wall != 0 {
		s.Wall = time.Unix(0, wall).UTC()
	}
	return s
}
