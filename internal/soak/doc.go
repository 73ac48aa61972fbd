// Package soak holds the rounds: agent, broker and receiver are processes that are killed at random instants, their connections
// are cut at every step of the protocol by a proxy, the disk under the agent fills and fails, its clock jumps; in the end all that
// the agent's store accepted is compared with what the receiver holds. It owns the faults, the book of what was accepted and the
// comparison; every part in between is the real one.
//
// It has tests only. The short form runs with go test, the long one with make soak: UPSEDGE_SOAK is how long ("10m") or how many
// rounds ("1000 rounds"), UPSEDGE_SOAK_SEED repeats a run's choices.
package soak
