package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"upsedge/internal/wire"
)

// Options of Open. The zero value works.
type Options struct {
	BootID   wire.ID           // of this boot of the operating system, for the stamps the store makes itself
	Now      func() wire.Stamp // stamps of gap records made while reading; default: BootID and the boot clock, no wall time
	MaxBytes int64             // quota of the files together, at least MinBytes, 0 for DefaultMaxBytes
	Log      *slog.Logger      // nil discards
	// Accepted, if not nil, is told of every commit that put records, in the order of the commits, before the call that put them
	// returns: the records as a reader gets them. What the commit dropped or replaced shows as the gap records among them; a gap
	// record that has grown comes again under its number. It must not call the store.
	Accepted func([]wire.Record)
	// Units are those of which a database that is lost may have held something: a new stream that takes its place, or that of the stream
	// Before, begins with an interruption of each, since when nobody knows. Zero: there was no stream before.
	Units  []string
	Before wire.ID

	driver    string // tests: a SQLite driver that fails
	unchecked bool   // tests: the file is not checked as a whole at Open, like one that is too large for it
}

const (
	// DefaultMaxBytes is spool.max_bytes of the configuration.
	DefaultMaxBytes = 1 << 30
	// MinBytes is the least quota: 256 pages, of which three eighths are for the log and the reserve.
	MinBytes = 1 << 20
)

// A Store is the open database. Use Open.
type Store struct {
	dir   string
	o     Options
	limit budget
	lock  *os.File
	mark  *os.File
	log   *slog.Logger

	w        writer                        // guarded by turn
	reserved bool                          // the reserve is whole; guarded by turn
	dropFrom [wire.ClassPicture + 1]uint64 // by class: none waits in the events lane below this number; guarded by turn
	file     os.FileInfo                   // of the database when it was opened
	hurt     bool                          // an error of the disk leaves open what was written: heal first; guarded by turn
	healing  int                           // how often in a row that has failed; guarded by turn
	goodLog  int64                         // length of the log to its last good commit, while hurt; guarded by turn
	reading  sync.RWMutex                  // held while readers and selects are used, and while they are replaced
	readers  *sql.DB
	selects  [len(laneTables)]*sql.Stmt

	ring           ring
	keyRowsDamaged bool      // the table of keys is to be written anew
	leftKeys       []string  // key files that nothing needs
	keysKept       time.Time // when the key files were looked at; guarded by turn
	tidyWork       tidy      // guarded by turn

	stream     wire.ID
	boot       uint32
	first      bool   // run of the stream
	firstEvent uint64 // the first number of the events lane that this run can give
	turn       chan struct{}

	// hand is held while records of the events lane are read and while one of them is rewritten, so that no gap record grows
	// after it has been handed out.
	hand   sync.Mutex
	handed uint64 // highest number of the events lane that Next returned in this run

	mu          sync.Mutex
	closed      bool
	owed        map[string]bool // units whose last put did not succeed
	broken      error
	setAside    string
	lanes       [len(laneTables)]laneRow
	oldest      [len(laneTables)]wire.Stamp
	firstUntold uint64 // of samples; see tx.firstUntold
	lost        [len(laneTables)]map[wire.GapReason]Loss
	fileBytes   int64
	usedPages   int64
	changed     [len(laneTables)]chan struct{}
	interrupted []Interrupted
	damaged     uint64
	told        [len(laneTables)][]seqRange // numbers found in the table holes, ascending, apart
}

// laneTables are the tables of the lanes, by number.
var laneTables = [...]string{wire.Events: "events", wire.Samples: "samples"}

// Stream returns the identity of this database, 128 random bits made with it.
func (s *Store) Stream() wire.ID { return s.stream }

// Boot returns how many times a store was opened in this directory, from 1. It goes on where a new stream takes the place of a lost
// one.
func (s *Store) Boot() uint32 { return s.boot }

// First reports whether this is the first run of the stream.
func (s *Store) First() bool { return s.first }

// SetAside returns the name of the broken file that Open put out of the way, "" if there was none. It is the same in every
// run until one has ended cleanly, so that the agent can tell of it even when it crashed in between.
func (s *Store) SetAside() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setAside
}

// Crashed returns what earlier runs left without a clean end and without a gap record, oldest first.
func (s *Store) Crashed() []Interrupted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Interrupted(nil), s.interrupted...)
}

// Changed returns a channel that is closed when something new is in the lane. Ask for it before calling Next: then nothing
// can come in between unnoticed. It may be closed without anything new.
func (s *Store) Changed(lane wire.Lane) <-chan struct{} {
	if checkLane(lane) != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[lane]
}

// wake tells everyone who waits for the lane. The caller holds mu.
func (s *Store) wake(lane wire.Lane) {
	close(s.changed[lane])
	s.changed[lane] = make(chan struct{})
}

// Close marks the end of every unit whose samples were all put, empties the write-ahead log into the file, takes what the
// reserve lacks and gives the directory back. A unit whose last PutSamples returned an error stays open and is in the list of
// Crashed next time.
func (s *Store) Close() error {
	s.turn <- struct{}{} // the write in hand is finished first
	defer func() { <-s.turn }()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	broken := s.broken
	s.mu.Unlock()

	var err error
	if broken == nil && s.hurt {
		err = s.heal(context.Background())
	}
	if err != nil || broken != nil { // as a crash would
		s.abandon()
		err = errors.Join(err, s.cutLog())
	} else {
		err = s.commitSomehow(context.Background(), "mark the clean end", durable, (*tx).endRun)
		e := s.emptyLog()
		if diskFull(e) && s.giveUpReserve() {
			e = s.emptyLog()
		}
		if s.hurt || hurts(e) {
			s.abandon()
		}
		if err == nil {
			err = e
		}
	}
	err = errors.Join(err, s.disconnect())
	s.refill() // with the blocks of the log, before others take them: the next run begins on them
	return errors.Join(err, s.unlock())
}

func (s *Store) emptyLog() error {
	return s.w.plain(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
}

// release gives back what Open took; it leaves the file as a crash would.
func (s *Store) release() error { return errors.Join(s.disconnect(), s.unlock()) }

func (s *Store) disconnect() error {
	var err error
	if s.readers != nil {
		err = s.readers.Close()
	}
	return errors.Join(err, s.w.close())
}

func (s *Store) unlock() error {
	var errs []error
	for _, f := range []*os.File{s.mark, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// state returns why no call can be served, nil if they can.
func (s *Store) state() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.broken
}

// bootClock is the default of Options.Now.
func bootClock(boot wire.ID) func() wire.Stamp {
	return func() wire.Stamp {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			panic(fmt.Sprintf("read the boot clock: %v", err)) // it exists on every Linux that Go runs on
		}
		return wire.Stamp{BootID: boot, Mono: time.Duration(ts.Nano())}
	}
}
