// Package alarm turns what is read from one unit, and what could not be read, into the events of the event catalogue. It
// owns the rules, their confirmation and hysteresis, and the set of active alarms with what of it survives a restart. It
// does no I/O, has no clock of its own and gives no numbers: the store does.
//
// The rules are tables. rules.go holds the alarms that come from values: an id, the tests of which any raises it and the
// tests of which all clear it, each with the number of polls and the time it has to hold. results.go holds the words that
// keep the result of a test until the next one, link.go the alarms about the communication itself. Another alarm of the
// catalogue is one more row.
//
// What a poll is: a successful read that contains one of the points a test looks at. A read of other points is no vote, for
// or against; so the status word is judged five times a second and the test result once, whatever order they come in. "Two
// polls in a row" are two such reads with none in between that says otherwise; a failed read in between is no vote, unless
// communication is lost. So every end comes one poll of its point later than it was first seen: 102, at the default rates of
// a serial line, 200 ms after the first poll that shows the mains back, 400 ms after their return at most.
//
// Source: event catalogue, sections 1 to 8 (the rule ids READ-1 to READ-8 and TIMING-1 to TIMING-3 are named where they
// are obeyed); protocol reference, sections 6 and 8.
//
// An Engine is not safe for concurrent use: whoever shows the active set elsewhere takes a copy after each event.
package alarm
