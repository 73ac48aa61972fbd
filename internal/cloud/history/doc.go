// Package history answers what units said: values now, by point and time, reckoned down to smallest, mean and largest; alarms as incidents;
// the inventory with its changes (rules, section 2: monitor.status, monitor.history, incident.read, inventory.read).
//
// Samples stay what they are, records of package ingest, compressed by the agent: nothing is stored twice. A Follower notes behind each batch
// which device and which time a block is about (table blocks), with a cursor per lane, so that what was acknowledged is found sooner or later
// whatever is killed. Questions of long spans are answered from summaries: a day or an hour in one compressed row, made when it is first
// asked for, and again when a late block has come since.
//
// Rows of a picture repeat rows of blocks: one row of a unit, a tier and an instant of a boot counts once (FORMAT.md, section 6). A mean is that of the
// samples in a span, each counting the same.
//
// A time that nobody knows is that of the arrival, and said to be uncertain, until the agent tells the clock of that boot; then it is mended.
package history
