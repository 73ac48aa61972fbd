// Package uplink carries the two lanes of records to the broker: one MQTT 3.1.1 session at a time, its window, the lanes in
// their order of priority, and reconnection (design, section 6).
//
// It owns the connection and nothing that lasts: records stay in a Spool until they are acknowledged, and what is not
// acknowledged when a connection ends is sent again, in order, over the next one. So every record is delivered at least
// once; the receiver tells copies by the record's identity. What crosses the wire is encoded by package wire, handed in.
//
// Who acknowledges: with a Cloud its word on the topic acks, and nothing else; without one the broker's PUBACK. With a cloud
// PUBACK measures the link. At most 64 records of a lane are out beyond the cloud's mark, and when the mark stands still though
// the broker took what follows it, the lane goes back to the mark. Within a session a record never goes out before the one
// ahead of it in its lane; live samples do not overtake a backlog of them. Events overtake samples at any backlog.
//
// The broker is believed nothing: a guard judges each of its packets by the first bytes, and what comes on acks and orders is
// bounded, counted and dropped rather than waited for (T-15, T-30).
//
// The client library is github.com/eclipse/paho.mqtt.golang. What it does badly is not used: it gets a new client and an
// empty memory store per connection, never reconnects by itself, and is handed one message at a time, because it has no limit
// of its own to what is in flight, and because an alarm can only overtake what it has not been given yet.
//
// Session.Run may be called once; everything else happens on goroutines it owns and waits for.
package uplink
