// Package smartups speaks to APC Smart-UPS units over Modbus: it knows which register means what, which reads bring what is
// wanted in the least time, what an answer must look like to be believed, and who the unit is.
//
// The map (map.go) is one row per item. The read plan (plan.go) groups the items of a tier into reads. Decoding (decode.go)
// turns registers into raw integers of ups points. The driver (driver.go) connects, reads one block at a time, and believes
// nothing after a failure until the constant block at 2048 came back as it must: on a line without sequence numbers a late
// answer looks like the answer to the next question.
//
// It leaves to others: the line and its timing (package modbus), when to read what (sampler), alarms, and every decision that
// needs more than one reading.
//
// A Driver is not safe for concurrent use: whoever schedules its unit's reads owns it. Two drivers may share a line.
//
// Source: "Smart-UPS over Modbus: protocol reference", made from APC application notes 176 (MPAO-98KJ7F) and 177
// (MPAO-99NQL2) and Schneider Electric part 990-9840B. Sections and disagreements (D1 to D22) are numbered as there.
package smartups
