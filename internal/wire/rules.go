package wire

import (
	"encoding/json"
	"time"
)

// OrderRules are what the configuration of a site says of orders beside orders.allow. All but MinInterval and DailyMax concern those from afar
// alone.
type OrderRules struct {
	Hours       string        // "08:00-18:00", by the clock of the box's zone; "": any
	Zone        time.Duration // east of UTC, of the box's zone now; whole minutes
	MinInterval time.Duration // between two orders that drop the load of a unit; whole seconds
	DailyMax    uint32        // such orders of a unit in 24 hours
}

// Drops say how soon and how often orders may drop the load of a unit.
type Drops struct {
	Wait time.Duration // until the next one may; whole seconds
	Left uint32        // how many more may, of those in 24 hours
}

// putRules adds fields to the object orders.
func (b *builder) putRules(r *OrderRules) {
	if r == nil {
		return
	}
	b.putText("hours", r.Hours)
	b.put("zone", int(r.Zone/time.Minute))
	b.put("min_interval", wholeSeconds(r.MinInterval))
	b.put("daily_max", uint64(r.DailyMax))
}

// rules reads them; nil where they are not told.
func (o *object) rules() *OrderRules {
	var r OrderRules
	var zone int16
	var interval uint32
	if !o.may("daily_max", &r.DailyMax) {
		return nil
	}
	o.may("hours", &r.Hours)
	o.may("zone", &zone)
	o.may("min_interval", &interval)
	r.Zone, r.MinInterval = time.Duration(zone)*time.Minute, time.Duration(interval)*time.Second
	return &r
}

func (b *builder) putDrops(d *Drops) {
	if d == nil {
		return
	}
	b.name("drops")
	b.open()
	b.put("wait", wholeSeconds(d.Wait))
	b.put("left", uint64(d.Left))
	b.close()
}

func (o *object) drops() *Drops {
	var raw json.RawMessage
	if !o.may("drops", &raw) || o.err != nil {
		return nil
	}
	in, err := parseObject(raw)
	if err != nil {
		o.fail(err)
		return nil
	}
	var wait uint32
	d := &Drops{}
	in.want("wait", &wait)
	in.want("left", &d.Left)
	o.adopt("drops", in)
	d.Wait = time.Duration(wait) * time.Second
	return d
}

// wholeSeconds rounds up: who waits so long has waited long enough.
func wholeSeconds(d time.Duration) uint64 {
	return uint64((min(max(d, 0), 1<<32*time.Second-time.Second) + time.Second - 1) / time.Second)
}
