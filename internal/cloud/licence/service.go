package licence

import (
	"errors"
	"strconv"
	"time"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/limit"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/onetime"
)

// Config of a Service. Everything but Now is needed.
type Config struct {
	Devices *device.Registry
	Mail    *mail.Queue
	URL     string           // where people find the cloud: it stands in letters
	Now     func() time.Time // nil: time.Now
}

// A Service does what this package is for. Use New.
type Service struct {
	devices *device.Registry
	mail    *mail.Queue
	url     string
	now     func() time.Time
}

// New returns a Service, which from now on writes to people when the registry ends a plan, or warns of its end.
func New(c Config) (*Service, error) {
	if c.Devices == nil || c.Mail == nil || c.URL == "" {
		return nil, errors.New("licence: no devices, no mail, or no address of the cloud")
	}
	s := &Service{devices: c.Devices, mail: c.Mail, url: c.URL, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	s.devices.OnPlanEnd(s.ended)
	s.devices.OnPlanWarning(s.warn)
	return s, nil
}

// wrongHere counts the wrong codes of an account; those from one source are counted with all other codes. A code has 80 secret bits: the limit
// is for the log and the machine.
var wrongHere = limit.Limit{Name: "licence codes", Most: 20, Per: time.Hour}

// numberLength is how many characters of a code find it: 40 bits. The other 16 are the secret: 80 bits, for it may lie in a drawer for years.
const numberLength = 8

// number returns what finds a code; "" where the text can be no code, nor begin like one.
func number(code string) string {
	n := onetime.Typed(code, onetime.Licence)
	if n == "" {
		return onetime.Typed(code, numberLength)
	}
	return n[:numberLength]
}

func decimal(n int) string { return strconv.Itoa(n) }

// instant is a time in a parameter of the Event Log; "" for none.
func instant(t time.Time) string {
	if t.IsZero() || t.Equal(device.Forever) {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
