// Package ingest is the receiving end of the uplink, the first part of the cloud: it takes what agents publish, keeps it on disk,
// and tells them how far it has (design, sections 6 and 8; FORMAT.md of package wire).
//
// The promise: what an acknowledgement covers is in the database, synced, or covered by a gap that is; every record once, under
// its identity (agent, stream, lane, number), with the content that came first. What contradicts that is set aside and told.
//
// Three layers that know of each other in this order only. A Receiver keeps records and rules: batches of messages in, answers
// out, one commit each. A Group collects what comes from anywhere into batches: the cloud's MQTT front puts messages into it. A
// Consumer brings them from a broker beside the cloud, as tests have it.
//
// It decides nothing about owners, plans or rights, and shows nothing to people. DESIGN.md beside it says what each table holds
// and why. Readers may be used concurrently with everything.
package ingest
