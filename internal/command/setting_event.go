package command

import (
	"strings"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// SettingEventOf returns what the end of an order that configures says of the setting, beside [EventOf] (event catalogue, 710 and 712): it
// was changed, or it was not accepted. Of a setting that had the value already nothing is said, nor where nobody knows.
func SettingEventOf(r wire.Result) (ups.Event, bool) {
	id := ups.AlarmID(0)
	switch {
	case r.Action != ups.ActionConfigure || r.Repeated:
	case r.State == wire.OrderDone && !strings.HasPrefix(r.Detail, ups.AlreadySo):
		id = 710
	case r.State == wire.OrderFailed:
		id = 712
	}
	if id == 0 {
		return ups.Event{}, false
	}
	return eventOf(id, r, r.Detail), true
}

// EventsOf returns every event that a result is told as besides.
func EventsOf(r wire.Result) (out []ups.Event) {
	for _, of := range []func(wire.Result) (ups.Event, bool){EventOf, SettingEventOf} {
		if e, ok := of(r); ok {
			out = append(out, e)
		}
	}
	return out
}

// eventOf makes an event of a result.
func eventOf(id ups.AlarmID, r wire.Result, detail string) ups.Event {
	row := ups.AlarmByID(id)
	return ups.Event{
		ID: id, Kind: ups.Moment, Severity: row.Severity, Text: row.Text, Unit: r.Unit, Device: r.Device, Detail: detail, Raw: r.Raw,
	}
}
