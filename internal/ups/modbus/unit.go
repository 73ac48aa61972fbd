package modbus

import (
	"time"

	"github.com/goburrow/modbus"
)

// A unit is what the line keeps of one unit: goburrow's client with its own packager, its pace, its last exchange and write.
type unit struct {
	id        uint8
	client    modbus.Client
	pace      pace
	lastWrite time.Time
	answered  bool          // the last request
	missed    bool          // the last request, and answered the one before
	silence   time.Duration // before the last request
}

// unit returns the unit with this id. goburrow's handlers are used as packagers only.
func (r *runner) unit(id uint8) *unit {
	for _, u := range r.units {
		if u.id == id {
			return u
		}
	}
	var packager modbus.Packager
	if r.cfg.Framing == TCP {
		h := modbus.NewTCPClientHandler("")
		h.SlaveId = id
		packager = h
	} else {
		h := modbus.NewRTUClientHandler("")
		h.SlaveId = id
		packager = h
	}
	u := &unit{id: id, client: modbus.NewClient2(packager, transporter{r}), pace: pace{timeout: r.cfg.Timeout}}
	r.units = append(r.units, u)
	return u
}

// restUntil returns when the unit may be asked again after its last write.
func (u *unit) restUntil(function uint8) time.Time {
	if u.lastWrite.IsZero() {
		return time.Time{}
	}
	if function == writeFunction {
		return u.lastWrite.Add(betweenWrites)
	}
	return u.lastWrite.Add(afterWrite)
}
