package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"upsedge/internal/ups"
)

// EncodeEvent returns the stored body of e, the payload of a Record of ClassAlarm: the object of the event catalogue, section
// 12, without the numbers and times, which are the record's. e.At is not part of it: put the record with its stamp.
func EncodeEvent(e ups.Event) ([]byte, error) {
	if e.Kind < ups.Raise || e.Kind > ups.Moment || e.Severity < ups.Informational || e.Severity > ups.Critical {
		return nil, fmt.Errorf("event %d of kind %d and severity %d", e.ID, uint8(e.Kind), uint8(e.Severity))
	}
	if e.ID == 0 || e.RaisedBy != 0 && e.Kind != ups.Clear || e.Group > ups.SOG3 {
		return nil, fmt.Errorf("event %d, %v, raised by %d, of group %d", e.ID, e.Kind, e.RaisedBy, uint8(e.Group))
	}
	var b builder
	b.open()
	b.put("event_id", e.ID)
	b.put("kind", e.Kind.String())
	b.put("severity", e.Severity)
	b.put("text", strings.ToValidUTF8(e.Text, "\uFFFD"))
	b.putText("unit", e.Unit)
	b.putText("device", e.Device)
	b.putText("detail", e.Detail)
	if len(e.Raw) > 0 {
		b.name("raw")
		b.putRaw(e.Raw)
	}
	if e.Group != ups.NoGroup {
		b.put("group", e.Group.String())
		b.put("group_number", uint64(e.Group-ups.MainGroup))
		b.putText("group_name", e.GroupName)
	}
	b.putTrue("inferred", e.Inferred)
	b.putTrue("unconfirmed", e.Unconfirmed)
	if e.RaisedBy != 0 {
		b.put("raised_by", e.RaisedBy)
	}
	b.close()
	if len(b.buf) > maxBody {
		return nil, fmt.Errorf("event %d has %d bytes, want at most %d", e.ID, len(b.buf), maxBody)
	}
	return b.buf, b.err
}

// putRaw writes {"status":"0x2","battery_temperature":"-0x1f","input_voltage_2":null}: null where there was no value.
func (b *builder) putRaw(raw []ups.RawValue) {
	b.open()
	seen := map[ups.Point]bool{}
	for _, r := range raw {
		if seen[r.Point] && b.err == nil {
			b.err = fmt.Errorf("point %v twice in the raw values of an event", r.Point)
		}
		seen[r.Point] = true
		if b.name(r.Point.String()); r.Raw == ups.Absent {
			b.buf = append(b.buf, "null"...)
			continue
		}
		b.value(hexadecimal(r.Raw))
	}
	b.close()
}

func hexadecimal(v int64) string {
	if v < 0 {
		return "-0x" + strconv.FormatUint(uint64(-v), 16)
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}

// DecodeEvent reads the body of a Record of ClassAlarm. The event's At is the time on the wall clock of the record, zero here.
// Points of raw that this program does not know are left out.
func DecodeEvent(body []byte) (ups.Event, error) {
	o, err := parseObject(body)
	if err != nil {
		return ups.Event{}, fmt.Errorf("event: %w", err)
	}
	return o.event()
}

func (o *object) event() (e ups.Event, err error) {
	o.want("event_id", &e.ID)
	o.kind(&e.Kind)
	o.want("severity", &e.Severity)
	o.want("text", &e.Text)
	o.may("unit", &e.Unit)
	o.may("device", &e.Device)
	o.may("detail", &e.Detail)
	o.group(&e.Group)
	o.may("group_name", &e.GroupName)
	o.may("inferred", &e.Inferred)
	o.may("unconfirmed", &e.Unconfirmed)
	o.may("raised_by", &e.RaisedBy)
	if raw, ok := o.get("raw"); ok {
		e.Raw, err = parseRaw(raw)
		if err != nil {
			o.fail(fmt.Errorf("field %q: %w", "raw", err))
		}
	}
	if o.err == nil && e.ID == 0 {
		o.fail(fmt.Errorf("event_id is 0"))
	}
	if o.err == nil && e.RaisedBy != 0 && e.Kind != ups.Clear {
		o.fail(fmt.Errorf("a %v has raised_by", e.Kind))
	}
	if o.err != nil {
		return ups.Event{}, fmt.Errorf("event: %w", o.err)
	}
	return e, nil
}

// group reads the name of an outlet group. One that this program does not know is NoGroup.
func (o *object) group(dst *ups.Group) {
	var name string
	o.may("group", &name)
	for _, g := range ups.Groups {
		if g.String() == name {
			*dst = g
		}
	}
}

func (o *object) kind(dst *ups.EventKind) {
	var name string
	o.want("kind", &name)
	for k := ups.Raise; k <= ups.Moment; k++ {
		if k.String() == name {
			*dst = k
			return
		}
	}
	o.fail(fmt.Errorf("kind %.40q is not raise, clear or event", name))
}

func parseRaw(b json.RawMessage) (out []ups.RawValue, err error) {
	o, err := parseObject(b)
	if err != nil {
		return nil, err
	}
	for _, f := range o.fields {
		v := int64(ups.Absent)
		if string(f.raw) != "null" {
			var text string
			if err := json.Unmarshal(f.raw, &text); err != nil {
				return nil, fmt.Errorf("%.40q: %w", f.name, err)
			}
			if v, err = parseHexadecimal(text); err != nil {
				return nil, fmt.Errorf("%.40q: %w", f.name, err)
			}
		}
		if p, ok := ups.PointByName(f.name); ok {
			out = append(out, ups.RawValue{Point: p, Raw: v})
		}
	}
	return out, nil
}

func parseHexadecimal(text string) (int64, error) {
	plain, negative := strings.CutPrefix(text, "-")
	hex, ok := strings.CutPrefix(plain, "0x")
	v, err := strconv.ParseUint(hex, 16, 63)
	if !ok || err != nil {
		return 0, fmt.Errorf("%.40q is not 0x and up to 63 bits in hexadecimal", text)
	}
	if negative {
		return -int64(v), nil
	}
	return int64(v), nil
}
