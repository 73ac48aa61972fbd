package front

import (
	"errors"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/wire"
)

// A hook is where the library asks. It is called from the goroutine that reads the connection.
type hook struct {
	mqtt.HookBase
	front *Front
}

func (h *hook) ID() string { return "front" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnPublish, mqtt.OnSubscribed, mqtt.OnUnsubscribed:
		return true
	}
	return false
}

func sessionOf(cl *mqtt.Client) *session { return cl.Net.Conn.(*session) }

// OnConnect decides who may enter.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	s := sessionOf(cl)
	s.client = cl
	code, why := s.admit(&pk)
	if why == nil {
		why = h.front.enter(s)
		code = packets.ErrServerUnavailable
	}
	if why != nil {
		_ = h.front.broker.SendConnack(cl, code, false, nil)
		return why
	}
	// Taken from the library: a will, which it loses where a connection is ended while a message of it is worked on; and the
	// name, of which it knows only one client, so that one that goes takes what its successor has.
	cl.Properties.Will = mqtt.Will{}
	cl.Properties.Clean = true // whatever it asked for: nothing is kept of one that is away
	cl.ID = s.agent + " " + s.number
	s.connectBy = time.Time{}
	return nil
}

// admit judges CONNECT, and says with which code it is refused (MQTT 3.1.1, 3.2.2.3, by the names of the library, which translates
// them).
func (s *session) admit(pk *packets.Packet) (packets.Code, *endError) {
	if pk.ProtocolVersion != 4 {
		return packets.ErrUnsupportedProtocolVersion, ended(Version, "protocol level %d, want 4 (MQTT 3.1.1)", pk.ProtocolVersion)
	}
	agent, err := s.front.cfg.Authorize(s.cert)
	var refusal *cloud.Error
	switch {
	case errors.As(err, &refusal):
		return packets.ErrBadUsernameOrPassword, ended(Unauthorized, "certificate of %.64q: %v", s.cert.Subject.CommonName, err)
	case err != nil:
		return packets.ErrServerUnavailable, ended(Undecided, "certificate of %.64q: %v", s.cert.Subject.CommonName, err)
	case wire.CheckAgent(agent) != nil:
		return packets.ErrBadUsernameOrPassword, ended(Unauthorized, "%v", wire.CheckAgent(agent))
	case pk.Connect.ClientIdentifier != agent:
		return packets.ErrClientIdentifierNotValid, ended(ClientID, "client identifier %.64q of the agent %s", pk.Connect.ClientIdentifier, agent)
	}
	s.agent, s.prefix = agent, wire.Prefix+agent+"/"
	if pk.Connect.WillFlag {
		if pk.Connect.WillTopic != s.prefix+string(wire.TopicState) {
			return packets.ErrBadUsernameOrPassword, ended(BadWill, "will on %.100q, want its own state", pk.Connect.WillTopic)
		}
		s.will = pk.Connect.WillPayload
	}
	s.idle = longestIdle
	if k := time.Duration(pk.Connect.Keepalive) * time.Second * 3 / 2; k > 0 {
		s.idle = min(k, longestIdle)
	}
	return packets.CodeSuccess, nil
}

// OnConnectAuthenticate agrees: OnConnect has decided.
func (h *hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnPacketRead judges what the guard could not see.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	s := sessionOf(cl)
	s.giveBackRoom()
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if s.leafOf(pk.TopicName) == "" {
			s.end(ended(Topic, "a message on %.100q", pk.TopicName))
		}
	case packets.Puback:
		if !s.acknowledged(pk.PacketID) {
			s.end(ended(BadPacket, "message %d acknowledged, which was not sent", pk.PacketID))
		}
	}
	if s.ended() != nil {
		return pk, packets.ErrRejectPacket // of this hook the library ends the connection for it
	}
	return pk, nil
}

// OnACLCheck judges filters. Topics of messages were judged when they were read: for one of quality of service 0 or a strange name
// the library would not ask, and for another one answer with a packet that MQTT 3.1.1 does not have.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if write {
		return true
	}
	s := sessionOf(cl)
	for _, leaf := range downLeaves {
		if topic == s.prefix+string(leaf) {
			return true
		}
	}
	return false
}

// OnPublish hands a message over. The library is told that it was refused, which is the one answer (of this hook) for which it
// neither acknowledges nor distributes nor retains it; our acknowledgement comes behind the commit.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	s := sessionOf(cl)
	if h.front.states.wait(s.ctx, s.agent, s.leafOf(pk.TopicName), len(pk.Payload)) != nil {
		return pk, packets.ErrRejectPacket // it ends
	}
	s.keep(pk.PacketID, ingest.Message{Topic: pk.TopicName, Payload: pk.Payload})
	return pk, packets.ErrRejectPacket
}

// OnSubscribed notes what was granted and refused.
func (h *hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	s := sessionOf(cl)
	for i, sub := range pk.Filters {
		if codes[i] >= packets.ErrUnspecifiedError.Code {
			h.front.counts.ended[Filter].Add(1)
			h.front.warn("agent's subscription refused", "agent", s.agent, "address", s.host, "filter", limit(sub.Filter, 100))
			continue
		}
		s.subscribe(sub.Filter, int8(codes[i])+1)
		if h.front.broker.Topics.Unsubscribe(sub.Filter, cl.ID) {
			atomic.AddInt64(&h.front.broker.Info.Subscriptions, -1)
		}
	}
	cl.State.Subscriptions = mqtt.NewSubscriptions() // 4 KiB for two filters, there and in the index, which nobody would ever ask
}

// OnUnsubscribed notes what an agent does not listen to any more.
func (h *hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	s := sessionOf(cl)
	for _, sub := range pk.Filters {
		s.subscribe(sub.Filter, 0)
	}
}

func limit(s string, n int) string { return s[:min(len(s), n)] }
