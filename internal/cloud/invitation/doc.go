// Package invitation asks people to share devices (rules, sections 6 and 7): the owner invites an address, a letter brings the code, and who has
// both the code and an account with that address accepts. It owns open invitations and the count of places; the grants that come of
// them are package device's.
package invitation
