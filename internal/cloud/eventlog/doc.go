// Package eventlog is the Event Log: who did what, when, with which outcome (rules, section 8; T-14, T-86). It owns the entries, their
// chains and the proof that nobody has altered them; who may read which device's entries is decided by its callers, from the matrix.
//
// Every change appends its entry in its own transaction (Append), so the log cannot disagree with the data. What may be logged is
// declared (Declare): an action or a parameter that is not is an error, the change is not made, and no secret gets in by accident (LOG-10).
// An entry names its actor by an opaque reference alone. Names stand in the accounts: one can go, and every chain still holds (DEL-5).
//
// Entries of a device form one chain: a device's id is of one (serial, epoch), so chains are per device and epoch. Entries about no device
// are in the chain of their organisation, and those of neither in the chain "cloud". DESIGN.md has the bytes.
//
// Functions take a transaction and may be called by any number of goroutines and processes.
package eventlog
