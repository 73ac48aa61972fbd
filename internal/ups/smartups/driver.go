package smartups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
)

// A Line carries the driver's requests; it is a [modbus.Line] or stands for one.
type Line interface {
	ReadHolding(ctx context.Context, p modbus.Priority, unit uint8, addr, count uint16, dst []uint16) ([]uint16, error)
	Timing(unit uint8) modbus.Timing // of the line and of this unit on it
	Links() uint64                   // how many times the link was opened; always the same number where it cannot be lost
}

// Config describes one unit on a line.
type Config struct {
	Name   string // of the unit in the configuration
	Line   Line
	UnitID uint8            // 1 to 223 on a serial line
	Card   bool             // the unit is reached through its network management card; found out, too, where undefined registers can be read
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: discard
}

// A Driver reads one Smart-UPS. It is not safe for concurrent use.
type Driver struct {
	cfg       Config
	trust     trust
	noHoles   bool // the unit refused a read with undefined registers in it and answered without them
	profile   profile
	constant  map[ups.Point]string // what cannot change, as read at connection
	identity  ups.Identity
	reads     []*read
	others    others
	connected []*ups.Reading
	words     [modbus.MostRead]uint16
	seen      sighting

	about atomic.Pointer[about] // for Control, on other goroutines; nil while not connected

	priority   modbus.Priority
	connecting bool // requests are repeated as often as it takes
	answering  bool // the unit has answered since Read was called
	asked      span // the last request
}

// trust is how far an answer may be believed.
type trust uint8

const (
	inStep trust = iota
	// outOfStep: an exchange failed, and a late answer may still come. The verification block must be read first.
	outOfStep
	// unsure: the link was lost, nothing came back twice, or another unit seemed to answer. The serial number must be read, too.
	unsure
)

// serialRead is the read of the serial number by itself.
var serialRead = span{564, 8}

// New returns a driver that has not connected yet. It reads nothing.
func New(cfg Config) *Driver {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("unit", cfg.Name)
	return &Driver{cfg: cfg}
}

// timing is how fast the line and the unit are, as measured so far.
func (d *Driver) timing() modbus.Timing { return d.cfg.Line.Timing(d.cfg.UnitID) }

// Identity returns who the unit is, as read at connection and since.
func (d *Driver) Identity() ups.Identity { return d.identity }

// Connected returns the readings made by the last Connect, so that nothing needs to be read twice: one of every block but the
// watch, which the status block contains. They are the caller's; the driver keeps them until the next Read.
func (d *Driver) Connected() []*ups.Reading { return d.connected }

// Costs returns the plan of the last Connect with what its blocks cost by the turnaround and the gap that are known now.
func (d *Driver) Costs() []ups.Block { return blocks(d.reads, d.others, d.timing()) }

// Read reads one block of the plan in one exchange. After any failure other than an exception the next Read first makes sure
// that answers belong to questions again, by reading the verification block; where another unit could have taken the place of
// this one, its serial number as well. Until that succeeds Read fails and believes nothing. A reply that came over a new link
// is dropped, and the block read again once the serial number has come over that link.
//
// On an error dst is as it was. The error wraps what the line returned, or is an *ImplausibleError or *UnitChangedError;
// ups.FailureOf tells which kind it is. A block from before the last Connect is refused.
func (d *Driver) Read(ctx context.Context, b ups.Block, dst *ups.Reading) error {
	if b.Index < 0 || b.Index >= len(d.reads) || d.reads[b.Index].name != b.Name {
		return fmt.Errorf("read %s %s of %s: not in the plan of this connection", b.Tier, b.Name, d.cfg.Name)
	}
	d.answering, d.connected = false, nil
	err := d.readInStep(ctx, d.reads[b.Index], dst)
	if err == nil {
		return nil
	}
	return d.failed(&b, err)
}

// failed makes the error of a read. It is a function of its own because what it puts on the stack would lie there during each
// exchange, and a thousand stacks are to stay below 4 KiB.
func (d *Driver) failed(b *ups.Block, err error) error {
	return fmt.Errorf("read %s %s of %s: %w", b.Tier, b.Name, d.cfg.Name, err)
}

// readInStep makes a read whose answer may be believed.
func (d *Driver) readInStep(ctx context.Context, rd *read, dst *ups.Reading) error {
	for n := 1; ; n++ {
		if d.seen.doubtful(d.cfg.Line.Links(), d.cfg.Now()) {
			d.trust = unsure
		}
		if err := d.resynchronise(ctx); err != nil {
			return fmt.Errorf("resynchronise: %w", err)
		}
		err := d.read(ctx, rd, dst)
		_, implausible := errors.AsType[*ImplausibleError](err)
		switch {
		case errors.Is(err, errNewLink) && n < 2:
		case d.connecting && implausible && n < mostTries:
		default:
			return err
		}
	}
}

// read makes one read and decodes it.
func (d *Driver) read(ctx context.Context, rd *read, dst *ups.Reading) error {
	s, err := d.apart(ctx, rd)
	if err != nil {
		return err
	}
	asked := d.cfg.Now()
	words, err := d.exchange(ctx, s)
	if exception(err) == illegalAddress && s != rd.span {
		delete(d.others, rd)
		return d.read(ctx, rd, dst)
	}
	answered := d.cfg.Now()
	if (err == nil || exception(err) != 0) && d.seen.doubtful(d.cfg.Line.Links(), answered) {
		return errNewLink
	}
	if err != nil {
		return err
	}
	words = words[:rd.count]
	if err := d.plausible(rd, words); err != nil {
		d.trust = max(d.trust, outOfStep)
		if _, ok := errors.AsType[*UnitChangedError](err); ok {
			d.trust = unsure
		}
		return err
	}
	if d.connecting && rd.addr <= undefined && undefinedEnd <= rd.addr+rd.count && throughCard(words[undefined-rd.addr:undefinedEnd-rd.addr]) {
		d.profile.card = true // on a serial line, too: some cards have an RS-485 port, and no configuration says so
	}
	rd.decode(words, d.profile, dst)
	if rd.text {
		d.note(dst)
	}
	d.seen.lasted = d.seen.lasted || d.seen.link == d.cfg.Line.Links()
	dst.Unit, dst.Tier, dst.At, dst.Took = d.cfg.Name, rd.tier, answered, answered.Sub(asked)
	return nil
}

// decode fills dst with the values of a reply. It allocates nothing but texts.
func (rd *read) decode(words []uint16, p profile, dst *ups.Reading) {
	dst.Reset(&rd.layout, rd.text)
	for i, f := range rd.fields {
		item := words[f.off:][:f.words]
		if f.numeric() {
			dst.Raw[i] = f.value(item, p)
		} else {
			dst.Text[i], _ = text(item)
		}
	}
}

// note keeps what a reading says of the unit that can change while it is connected: an update changes the firmware.
func (d *Driver) note(r *ups.Reading) {
	for i, c := range r.Layout.Columns {
		if c.Point == ups.Firmware && r.Text[i] != "" {
			d.identity.Firmware = r.Text[i]
		}
	}
}

// apart returns how to make a read so that its reply has another length than the one before. Where a line hands out replies one
// request late (an adapter that keeps what came after a time-out does, and nothing but a correct old reply comes in), the length
// is all that tells two readings of one block apart. The watch has a second, longer span for it; for others, which seldom follow
// themselves or one of their length, a short read goes before. On TCP the transaction id tells an old reply, not one about other
// registers.
func (d *Driver) apart(ctx context.Context, rd *read) (span, error) {
	switch {
	case rd.count != d.asked.count:
		return rd.span, nil
	case d.others[rd].count != 0:
		return d.others[rd], nil
	case rd.span == d.asked && d.cfg.Line.Timing(d.cfg.UnitID).ByteTime == 0:
		return rd.span, nil
	}
	between := span{2, 1} // the cause
	if rd.count == between.count {
		between = span{0, 2} // the status word
	}
	_, err := d.exchange(ctx, between)
	if exception(err) != 0 {
		err = nil // as short as no reply to a read is
	}
	return rd.span, err
}

const (
	// mostTries is how often a request goes out at most while connecting. A line on which every third reply is damaged serves
	// two reads of three, but hardly ever all that Connect needs in a row.
	mostTries = 3
	// steadyTries is the same for a unit that is connected. With a single one a line on which every second reply is damaged
	// would never deliver anything but the verification block.
	steadyTries = 2
)

// exchange reads registers and repeats a request that came back garbled or, with reason to expect an answer, met silence.
// Nothing but answers to this very request can then be under way, as the line was in step before: a late one is as good as the
// one asked for. The line stays out of step, so that the verification block comes in before any other question, or its answer,
// counts.
//
// A repeat hides nothing: the line counts each exchange. It costs the other units of a line one time-out at most.
func (d *Driver) exchange(ctx context.Context, s span) ([]uint16, error) {
	for n := 1; ; n++ {
		words, err := d.once(ctx, s)
		if !d.again(n, err) || ctx.Err() != nil {
			return words, err
		}
		if n > 1 {
			d.trust = unsure
		}
	}
}

// again tells whether a request is to be repeated that was made n times and ended with err. A unit that has just been silent is
// asked no second time, or it would hold up the others of its line twice as long as it must.
func (d *Driver) again(n int, err error) bool {
	if d.connecting {
		return n < mostTries && (garbled(err) || silent(err))
	}
	return n < steadyTries && (garbled(err) || silent(err) && d.answering)
}

// garbled tells whether something else than an answer came back, and the link is still there.
func garbled(err error) bool {
	_, frame := errors.AsType[*modbus.FrameError](err)
	return frame && !linkLost(err)
}

// silent tells whether nothing came back, and the link is still there.
func silent(err error) bool { return errors.Is(err, modbus.ErrTimeout) && !linkLost(err) }

// linkLost tells whether there is no link any more, for whatever reason: a request repeated at once would be refused.
func linkLost(err error) bool {
	_, lost := errors.AsType[*modbus.LinkError](err)
	return lost
}

// once reads registers and notes what a failure means for the trust in later answers.
func (d *Driver) once(ctx context.Context, s span) ([]uint16, error) {
	words, err := d.cfg.Line.ReadHolding(ctx, d.priority, d.cfg.UnitID, s.addr, s.count, d.words[:])
	if err == nil || left(err) {
		d.asked = s
	}
	if err == nil {
		d.answering = true
		return words, nil
	}
	if linkLost(err) {
		d.trust = unsure
	} else if exception(err) == 0 && left(err) {
		d.trust = max(d.trust, outOfStep)
	}
	return nil, err
}

// left tells whether the request may have gone out, so that an answer may still come.
func left(err error) bool {
	e, ok := errors.AsType[*modbus.RequestError](err)
	return !ok || e.Sent
}

// resynchronise makes sure that answers belong to questions, if there is doubt.
func (d *Driver) resynchronise(ctx context.Context) error {
	if d.trust == inStep {
		return nil
	}
	words, err := d.exchange(ctx, span{verifyAddr, verifyCount})
	if refused(err) { // a unit that has it does so while its controller restarts
		err = &ImplausibleError{Reason: fmt.Sprintf("the verification block is refused (%v)", err)}
	}
	if err == nil {
		if _, wrong := verify(words); wrong != nil {
			err = &ImplausibleError{Reason: wrong.Error()}
		}
	}
	if err != nil {
		d.trust = unsure
		return err
	}
	if d.trust == unsure {
		link := d.cfg.Line.Links() // before the request: the answer comes over this link or a later one
		if err := d.checkSerial(ctx); err != nil {
			return err
		}
		d.seen = sighting{link: link, at: d.cfg.Now()}
	}
	d.trust = inStep
	return nil
}

// checkSerial makes sure that it is still the same unit.
func (d *Driver) checkSerial(ctx context.Context) error {
	was := d.constant[ups.Serial]
	if was == "" {
		return nil
	}
	words, err := d.exchange(ctx, serialRead)
	if err != nil {
		return err
	}
	is, ok := text(words)
	if !ok {
		return &ImplausibleError{ups.Serial, fmt.Sprintf("%04x is not text", words)}
	}
	return d.same(ups.Serial, is)
}

// ReadAll returns one reading of every point. It connects first where the driver has not.
func ReadAll(ctx context.Context, d *Driver) (*ups.State, error) {
	s := ups.NewState()
	if len(d.reads) == 0 {
		if _, err := d.Connect(ctx, nil); err != nil {
			return nil, err
		}
		for _, r := range d.connected {
			s.Apply(r)
		}
		return s, nil
	}
	for _, b := range d.Costs() {
		if b.Tier == ups.TierWatch { // the status block contains it
			continue
		}
		var r ups.Reading
		if err := d.Read(ctx, b, &r); err != nil {
			return nil, err
		}
		s.Apply(&r)
	}
	return s, nil
}
