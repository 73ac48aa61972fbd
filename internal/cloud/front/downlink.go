package front

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"upsedge/internal/wire"
)

// maxUnread messages are on their way to one agent; one that has acknowledged none of them for unreadWithin does not read. An agent
// has at most 64 records of each lane on its way (design, section 6), each of which can be answered by itself: an answer that found no
// room would be missed for half a minute.
const (
	maxUnread    = 512
	unreadWithin = 30 * time.Second
)

// downLeaves are what an agent may subscribe to.
var downLeaves = [...]wire.Leaf{wire.TopicOrders, wire.TopicAcks}

// A downlink is what goes to an agent. Nothing of it is sent twice: what a connection took with it is asked for again.
type downlink struct {
	mu      sync.Mutex
	granted [len(downLeaves)]int8 // quality of service and 1; 0: not subscribed to
	last    uint16                // packet id
	unread  []sent
}

type sent struct {
	id uint16
	at time.Time
}

func (s *session) listens(leaf wire.Leaf) bool {
	i := slices.Index(downLeaves[:], leaf)
	s.down.mu.Lock()
	defer s.down.mu.Unlock()
	return i >= 0 && s.down.granted[i] > 0
}

// subscribe notes what an agent listens to from now on. granted is 0 when it does not any more.
func (s *session) subscribe(filter string, granted int8) {
	s.down.mu.Lock()
	defer s.down.mu.Unlock()
	for i, leaf := range downLeaves {
		if filter == s.prefix+string(leaf) {
			s.down.granted[i] = granted
		}
	}
}

// publish sends a message to the agent.
func (s *session) publish(leaf wire.Leaf, payload []byte) error {
	d := &s.down
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(downLeaves[:], leaf)
	if i < 0 || d.granted[i] == 0 {
		return ErrOffline
	}
	qos := byte(d.granted[i] - 1)
	if qos > 0 && len(d.unread) >= maxUnread {
		if time.Since(d.unread[0].at) > unreadWithin {
			s.end(ended(NotRead, "nothing acknowledged for %v", unreadWithin))
		}
		return ErrBusy
	}
	if qos > 0 {
		d.last = d.nextID()
	}
	switch err := s.out.put(encodePublish(s.prefix, leaf, qos, d.last, payload)); err {
	case nil:
	case errOutFull:
		return ErrBusy
	default:
		return ErrOffline
	}
	if qos > 0 {
		d.unread = append(d.unread, sent{d.last, time.Now()})
	}
	return nil
}

// nextID returns a packet id that is not on its way.
func (d *downlink) nextID() uint16 {
	for id := d.last + 1; ; id++ {
		if id != 0 && !slices.ContainsFunc(d.unread, func(s sent) bool { return s.id == id }) {
			return id
		}
	}
}

// acknowledged takes an agent's PUBACK. It reports whether there was something to acknowledge.
func (s *session) acknowledged(id uint16) bool {
	d := &s.down
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.unread, func(s sent) bool { return s.id == id })
	if i < 0 {
		return false
	}
	if d.unread = slices.Delete(d.unread, i, i+1); len(d.unread) == 0 {
		d.unread = nil
	}
	return true
}

// encodePublish writes a PUBLISH that is not retained (MQTT 3.1.1, 3.3). Its id is for a quality of service above 0.
func encodePublish(prefix string, leaf wire.Leaf, qos byte, id uint16, payload []byte) []byte {
	topic := len(prefix) + len(leaf)
	length := 2 + topic + len(payload)
	if qos > 0 {
		length += 2
	}
	b := make([]byte, 0, 5+length)
	b = append(b, typePublish<<4|qos<<1)
	b = binary.AppendUvarint(b, uint64(length)) // the same coding
	b = binary.BigEndian.AppendUint16(b, uint16(topic))
	b = append(append(b, prefix...), leaf...)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return append(b, payload...)
}
