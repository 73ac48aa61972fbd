// Package invitation asks people to share devices (rules, sections 6 and 7): the owner invites an address, a letter brings the code, and who has
// both the code and an account with that address accepts. It owns open invitations and the count of places; the grants that come of
// them are package device's.
//
// A code is valid once for each device of its invitation. What cannot be accepted now because the device is on Basic stays open, its clock
// running (PLAN-6), and the same code accepts it later; with nothing left open the code is used (INV-11). Every other reason ends it.
//
// An open invitation takes a place of its device (SHARE-3). Who takes or frees one first writes the device's row, so that of two at once the
// second waits, and counts what the first has left (SHARE-4).
//
// No entry of the Event Log has an address or a code: readers of a device's log see the invitation's id and who acted. What somebody did who
// has no right on the device, the owner alone sees. A Service may be used concurrently.
package invitation
