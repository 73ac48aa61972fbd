// Package alarm turns what is read from one unit, and what could not be read, into the events of the event catalogue. It
// owns the rules, their confirmation and hysteresis, and the set of active alarms with what of it survives a restart. It
// does no I/O, has no clock of its own and gives no numbers: the store does.
//
// The rules are tables. The files rules_*.go hold what comes from values, by the sections of the catalogue: an id, the tests of
// which any raises it and the tests of which all clear it, each with the number of polls and the time it has to hold. results.go
// holds the words that keep the result of a test until the next one, edges.go bits that are told when they change, link.go the
// alarms about the communication itself, identify the one about another unit. Another alarm of the catalogue is one more row.
// What a row cannot say with values and time alone it asks of a memory (memory.go, battery.go, replacement.go): how the charge
// went, what the runtime was of a battery that was good.
//
// Self (self.go) are the alarms of the agent itself: an Engine of no unit, which is told what happens to the link, the store and
// the clock instead of reading it.
//
// An alarm about an outlet group is active for each group by itself; the key of an active alarm is id and group.
//
// A rule is judged when something it looks at has changed since it was last judged, or when one of its tests is on its way. Most
// reads change nothing that rules look at; so a read costs half a microsecond, however many rules there are.
//
// What a poll is: a successful read that contains one of the points a test looks at. A read of other points is no vote, for
// or against; so the status word is judged five times a second and the test result once, whatever order they come in. "Two
// polls in a row" are two such reads with none in between that says otherwise; a failed read in between is no vote, unless
// communication is lost. So every end comes one poll of its point later than it was first seen: 102, at the default rates of
// a serial line, 200 ms after the first poll that shows the mains back, 400 ms after their return at most.
//
// Time goes by the readings. What is kept over a restart is how long ago something was, and not when; the wall clock counts only
// as TrustClock's function tells it, which may not be what the machine's clock says.
//
// Source: event catalogue, sections 1 to 9 (the rule ids READ-1 to READ-11 and TIMING-1 to TIMING-4 are named where they
// are obeyed); protocol reference, sections 6 and 8.
//
// An Engine is not safe for concurrent use: whoever shows the active set elsewhere takes a copy after each event.
package alarm
