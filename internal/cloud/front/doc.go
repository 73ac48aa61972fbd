// Package front is the MQTT front of the cloud: agents connect to it, and what they publish goes to the part that keeps it
// (design, sections 6 and 8). It owns connections and nothing behind them: no retained message, no session of a client that is
// away, no queue that outlives a connection. Any number of fronts can stand side by side.
//
// What it promises:
//
//   - Who speaks is who its certificate names, asked of Config.Authorize at each connection and again while it lasts; an agent
//     publishes and subscribes below its own id only (rules, EDGE-12; T-01).
//   - A message is acknowledged behind the commit that keeps it, in the order in which the messages of a connection came. What
//     is not kept is not acknowledged: the connection ends, and the agent sends it again (T-87).
//   - One connection holds a bounded part of memory and of what waits for the disk, and no other one waits for it (T-15, T-30).
//
// The broker is mochi-mqtt; no type of it can be seen from outside. Of its parts those are used that read and check packets and
// keep subscriptions. It is given a connection of ours, which judges each packet before the library makes room for it (guard.go),
// never blocks a writer (outbox.go) and closes when we say so (session.go). DESIGN.md says what was found in the library and why it
// is used in this way. The front decides nothing about records, sessions of agents or orders. Its functions may be used
// concurrently.
package front
