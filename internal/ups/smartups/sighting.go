package smartups

import (
	"errors"
	"time"

	"upsedge/internal/ups/modbus"
)

// A sighting is when the serial number was last seen, and over which link. A line replaces a connection that the other end
// closed without an error to anyone, and the new one may lead to another unit: units are swapped, addresses given anew.
type sighting struct {
	link   uint64 // the serial number came over this link or a later one; 0 = the unit is not identified yet
	at     time.Time
	lasted bool // a reply came over the same link since
}

// sightEvery is how often the serial number of a unit is checked at most whose links do not last from the check to the next
// reply. There are units that serve one request per connection and take 2 s to accept the next (protocol reference, section
// 2.3): checked whenever the link is new they would be asked for nothing else. If such a unit is swapped, the other one is
// taken for it for this long.
const sightEvery = 10 * time.Second

// errNewLink says that a reply was dropped because it came over a link on which the serial number was not checked.
var errNewLink = &modbus.LinkError{Op: "read", Err: errors.New("replaced meanwhile, and it may lead to another unit")}

// doubtful tells whether a reply that has come now, when the line counts so many links, may be another unit's.
func (s *sighting) doubtful(links uint64, now time.Time) bool {
	return s.link != 0 && s.link != links && (s.lasted || now.Sub(s.at) >= sightEvery)
}
