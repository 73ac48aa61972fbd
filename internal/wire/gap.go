package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A GapReason says why something is missing.
type GapReason string

// The reasons. A reader takes any other for a gap as well.
const (
	GapQuota   GapReason = "quota"   // form one: dropped, the oldest first, because the spool was full
	GapDamage  GapReason = "damage"  // unreadable on disk; form two with a zero From: since when nobody knows, maybe the whole stream before this one
	GapErasure GapReason = "erasure" // form one: erased on purpose; says nothing about what it was
	GapCrash   GapReason = "crash"   // form two: taken but not yet put when the agent ended
	GapStorage GapReason = "storage" // the disk refused for longer than memory could hold it
)

// A Gap stands for records that will never come (form one) or for samples that never became a record (form two). It is itself
// a numbered record of the events lane.
type Gap struct {
	// Form one: the records First to Last of Lane, both included, of the gap's own stream.
	Lane        Lane
	First, Last uint64
	// Form two: the samples of Unit after From and before To. Lane is zero.
	Unit     string
	From, To Stamp
	Reason   GapReason
}

func (g *Gap) check() error {
	if g.Reason == "" || len(g.Reason) > 32 {
		return fmt.Errorf("gap without a reason of 1 to 32 characters")
	}
	if g.Lane == 0 {
		if g.Unit == "" || len(g.Unit) > maxName {
			return fmt.Errorf("gap without a lane and with a unit of %d characters", len(g.Unit))
		}
		return nil
	}
	if g.Lane.String() != "events" && g.Lane.String() != "samples" {
		return fmt.Errorf("gap in %v", g.Lane)
	}
	if g.First == 0 || g.Last < g.First || g.Unit != "" {
		return fmt.Errorf("gap from %d to %d in %v with unit %q", g.First, g.Last, g.Lane, g.Unit)
	}
	return nil
}

// EncodeGap returns the stored body of g, the payload of a Record of ClassGap.
func EncodeGap(g Gap) ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	var b builder
	b.open()
	b.name("gap") // an object of its own: its lane is not the lane of the record
	b.open()
	if g.Lane != 0 {
		b.put("lane", g.Lane.String())
		b.put("first", g.First)
		b.put("last", g.Last)
	} else {
		b.put("unit", g.Unit)
		b.name("from")
		b.open()
		b.putStamp(g.From)
		b.close()
		b.name("to")
		b.open()
		b.putStamp(g.To)
		b.close()
	}
	b.put("reason", string(g.Reason))
	b.close()
	b.close()
	return b.buf, b.err
}

// DecodeGap reads the body of a Record of ClassGap.
func DecodeGap(body []byte) (Gap, error) {
	o, err := parseObject(body)
	if err != nil {
		return Gap{}, fmt.Errorf("gap: %w", err)
	}
	return o.gap()
}

func (o *object) gap() (Gap, error) {
	raw, ok := o.get("gap")
	if !ok {
		return Gap{}, errors.New("gap: field \"gap\" is missing")
	}
	in, err := parseObject(raw)
	if err != nil {
		return Gap{}, fmt.Errorf("gap: %w", err)
	}
	var g Gap
	in.want("reason", &g.Reason)
	if _, one := in.get("lane"); one {
		g.Lane = in.lane()
		in.want("first", &g.First)
		in.want("last", &g.Last)
	} else {
		in.want("unit", &g.Unit)
		g.From, g.To = in.instant("from"), in.instant("to")
	}
	if in.err == nil {
		in.err = g.check()
	}
	if in.err != nil {
		return Gap{}, fmt.Errorf("gap: %w", in.err)
	}
	return g, nil
}

func (o *object) lane() (l Lane) {
	var name string
	if o.want("lane", &name); o.err != nil {
		return 0
	}
	for _, l := range Lanes {
		if l.String() == name {
			return l
		}
	}
	o.fail(fmt.Errorf("lane %.40q is not events or samples", name))
	return 0
}

// instant reads a stamp that is an object of its own.
func (o *object) instant(name string) Stamp {
	var raw json.RawMessage
	if o.want(name, &raw); o.err != nil {
		return Stamp{}
	}
	in, err := parseObject(raw)
	if err != nil {
		o.fail(fmt.Errorf("field %q: %w", name, err))
		return Stamp{}
	}
	s := in.stamp()
	if in.err != nil {
		o.fail(fmt.Errorf("field %q: %w", name, in.err))
	}
	return s
}
