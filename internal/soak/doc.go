// Package soak holds the rounds: agent, broker and receiver are processes that are killed at random instants, their connections
// are cut at every step of the protocol by a proxy, the disk under the agent fills and fails, its clock jumps; in the end all that
// the agent's store accepted is compared with what the receiver holds. It owns the faults, the book of what was accepted and the
// comparison; every part in between is the real one.
//
// It has tests only. The short form runs with go test, the long one with make soak, where UPSEDGE_SOAK is set; UPSEDGE_SOAK_ROUNDS is
// how many rounds it makes (1000), UPSEDGE_SOAK_SEED repeats a run's choices, UPSEDGE_SOAK_GROUND names the only ground to make them on.
package soak
