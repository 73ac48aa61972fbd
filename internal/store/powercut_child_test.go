package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// cutEnv carries a cutJob to the process whose disk loses its power.
const cutEnv = "UPSEDGE_STORE_TEST_CUT"

// A cutJob is what the child does until the power goes.
type cutJob struct {
	Dir      string
	Seed     uint64
	Driver   string
	Hasty    bool // the key files are not waited for
	MaxBytes int64
	Closes   int // of 100 steps, how many end the run and begin another
	Erases   int // of 100 steps, how many erase a unit
}

// A word is one thing the child says on its stdout, a line of JSON. "records", "state", "runs" and "ended" come after the call
// that stored it has returned, "sent" after Next; "acking" and "moving" before the call.
type word struct {
	What    string
	Stream  wire.ID      `json:",omitzero"`
	Agent   string       `json:",omitempty"`
	Boot    uint32       `json:",omitempty"`
	Unit    string       `json:",omitempty"`
	Stamp   wire.Stamp   `json:",omitzero"`
	Number  uint64       `json:",omitempty"` // of a state, or through which is acknowledged
	Lane    wire.Lane    `json:",omitempty"`
	Records []saidRecord `json:",omitempty"`
	Err     string       `json:",omitempty"`
}

// A saidRecord is a record with the sum of all its fields in place of the payload.
type saidRecord struct {
	Lane  wire.Lane
	Seq   uint64
	Class wire.Class
	Epoch uint32
	Sum   uint64
	boot  uint32
	Gap   *wire.Gap `json:",omitempty"`
}

func said(r wire.Record) saidRecord {
	h := fnv.New64a()
	fmt.Fprint(h, r.Stream, r.Lane, r.Seq, r.Class, r.Epoch, r.Boot, r.Stamp.BootID, int64(r.Stamp.Mono), wallNanos(r.Stamp))
	h.Write(r.Payload)
	s := saidRecord{Lane: r.Lane, Seq: r.Seq, Class: r.Class, Epoch: r.Epoch, boot: r.Boot, Sum: h.Sum64()}
	if r.Class == wire.ClassGap {
		if g, err := wire.DecodeGap(r.Payload); err == nil {
			s.Gap = &g
		}
	}
	return s
}

// stuff is a payload of at least 8 bytes that shows whether it is whole: its number, then what follows from number and length.
func stuff(n uint64, size int) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, size+8), n)
	r := rand.NewPCG(n, uint64(size))
	for len(b) < size {
		b = binary.BigEndian.AppendUint64(b, r.Uint64())
	}
	return b[:size]
}

// genuine returns the number of what stuff made, 0 if it is not whole.
func genuine(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	n := binary.BigEndian.Uint64(b)
	if !slices.Equal(b, stuff(n, len(b))) {
		return 0
	}
	return n
}

// cutChild uses a store like an agent does, at random, until a call fails.
type cutChild struct {
	job  cutJob
	out  *json.Encoder
	r    *rand.Rand
	s    *Store
	n    uint64        // of what was put last; rises over the runs
	told []wire.Record // by Accepted, since the last look
}

func runCutChild(job string, out io.Writer) {
	c := &cutChild{out: json.NewEncoder(out)}
	err := json.Unmarshal([]byte(job), &c.job)
	if c.job.Hasty {
		syncFile = func(f *os.File) error {
			if filepath.Base(filepath.Dir(f.Name())) == keysName {
				return nil
			}
			return f.Sync()
		}
	}
	if err == nil {
		c.r = rand.New(rand.NewPCG(c.job.Seed, 1))
		for err = c.open(); err == nil; {
			if err = c.step(); errors.Is(err, ErrFull) {
				err = nil // refused: nothing was accepted
			}
		}
	}
	c.say(word{What: "failed", Err: err.Error()})
}

func (c *cutChild) say(w word) {
	if err := c.out.Encode(w); err != nil {
		panic(err)
	}
}

func (c *cutChild) open() (err error) {
	c.say(word{What: "opening"})
	// The rig beside this one's may be between fork and exec just now, with the lock that this one had when it looked into the directory.
	for wait := time.Millisecond; ; wait *= 2 {
		c.s, err = Open(context.Background(), c.job.Dir, Options{
			BootID: bootID, MaxBytes: c.job.MaxBytes, driver: c.job.Driver,
			Accepted: func(records []wire.Record) { c.told = append(c.told, records...) },
		})
		if !errors.Is(err, ErrInUse) || wait > time.Second {
			break
		}
		time.Sleep(wait)
	}
	if err != nil {
		return err
	}
	agent, err := c.s.AgentID(context.Background())
	if err != nil {
		return err
	}
	c.n = uint64(c.s.Boot()) << 20
	c.say(word{What: "open", Stream: c.s.Stream(), Boot: c.s.Boot(), Agent: agent})
	c.tell()
	for _, i := range c.s.Crashed() {
		to := i.Resumed
		if to == (wire.Stamp{}) {
			to = c.now()
		}
		g := wire.Gap{Unit: i.Unit, From: i.Last, To: to, Reason: wire.GapCrash}
		if err := c.s.PutGap(context.Background(), g, c.now()); err != nil {
			return err
		}
		c.tell()
	}
	return nil
}

// tell says what the call that has just returned stored.
func (c *cutChild) tell() {
	if len(c.told) == 0 {
		return
	}
	w := word{What: "records"}
	for _, r := range c.told {
		w.Records = append(w.Records, said(r))
	}
	c.told = c.told[:0]
	c.say(w)
}

func (c *cutChild) now() wire.Stamp { c.n++; return at(int(c.n)) }

func (c *cutChild) unit() string { return flipUnits[c.r.IntN(3)] }

// epoch is one that tells whose records they are.
func (c *cutChild) epoch(unit string) uint32 {
	return uint32(10*slices.Index(flipUnits, unit) + c.r.IntN(3))
}

func (c *cutChild) size() int { return []int{8, 100, 1000, 5000, 20000}[c.r.IntN(5)] }

func (c *cutChild) step() error {
	if c.r.IntN(100) < 2+c.job.Closes {
		return c.close()
	}
	if c.r.IntN(100) < c.job.Erases {
		return c.erase()
	}
	switch n := c.r.IntN(90); {
	case n < 35:
		return c.putSamples()
	case n < 65:
		return c.putEvents()
	case n < 80:
		return c.deliver()
	case n < 85:
		unit, stamp := c.unit(), c.now()
		c.say(word{What: "moving", Unit: unit})
		if err := c.s.Begin(context.Background(), unit, stamp); err != nil {
			return err
		}
		c.say(word{What: "runs", Unit: unit, Stamp: stamp})
	default:
		unit := c.unit()
		c.say(word{What: "moving", Unit: unit})
		if err := c.s.End(context.Background(), unit); err != nil {
			return err
		}
		c.say(word{What: "ended", Unit: unit})
	}
	return nil
}

func (c *cutChild) close() error {
	c.say(word{What: "closing"})
	if err := c.s.Close(); err != nil {
		return err
	}
	c.say(word{What: "closed"})
	return c.open()
}

func (c *cutChild) erase() error {
	unit := c.unit()
	c.say(word{What: "erasing", Unit: unit})
	if _, err := c.s.Erase(context.Background(), unit, 1<<31); err != nil {
		return err
	}
	c.tell()
	c.say(word{What: "erased", Unit: unit})
	return nil
}

func (c *cutChild) putSamples() error {
	var blocks []Samples
	for range 1 + c.r.IntN(3) {
		b := Samples{Unit: c.unit(), First: c.now(), Last: c.now()}
		b.Epoch = c.epoch(b.Unit)
		b.Payload = stuff(c.n, c.size())
		blocks = append(blocks, b)
		c.say(word{What: "moving", Unit: b.Unit})
	}
	if err := c.s.PutSamples(context.Background(), blocks); err != nil {
		return err
	}
	c.tell()
	for _, b := range blocks {
		c.say(word{What: "runs", Unit: b.Unit, Stamp: b.Last})
	}
	return nil
}

func (c *cutChild) putEvents() error {
	unit := c.unit()
	var state []byte
	var number uint64
	if c.r.IntN(3) > 0 {
		c.now()
		number = c.n
		state = stuff(number, c.size())
	}
	var events []Event
	for range c.r.IntN(3) {
		e := event(101, []ups.EventKind{ups.Raise, ups.Clear, ups.Moment}[c.r.IntN(3)], int(c.n))
		e.Epoch = c.epoch(unit)
		e.Unit, e.Stamp, e.Detail = unit, c.now(), strings.Repeat(fmt.Sprint(c.n, " "), 1+c.r.IntN(20))
		if c.r.IntN(4) == 0 {
			e.Picture = &Samples{Unit: unit, First: c.now(), Payload: stuff(c.n, c.size())}
		}
		events = append(events, e)
	}
	if err := c.s.PutEvents(context.Background(), unit, state, events); err != nil {
		return err
	}
	c.tell()
	if state != nil {
		c.say(word{What: "state", Unit: unit, Number: number})
	}
	return nil
}

// deliver reads like the uplink and acknowledges a part of it.
func (c *cutChild) deliver() error {
	lane := wire.Lanes[c.r.IntN(2)]
	records, err := c.s.Next(context.Background(), lane, 0, 1+c.r.IntN(20), 1<<20)
	if err != nil || len(records) == 0 {
		return err
	}
	c.tell() // a damaged one became a gap
	w := word{What: "sent"}
	for _, r := range records {
		w.Records = append(w.Records, said(r))
	}
	c.say(w)
	through := records[c.r.IntN(len(records))].Seq
	c.say(word{What: "acking", Lane: lane, Number: through})
	if err := c.s.Ack(context.Background(), lane, through); err != nil {
		return err
	}
	return nil
}
