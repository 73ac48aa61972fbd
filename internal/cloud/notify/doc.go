// Package notify tells people of what happens to devices: by mail and by signed webhooks, as their own policies say (rules, NOTE-1 and NOTE-2,
// PLAN-7, PERM-4). docs/notifications.md is what it looks like from outside.
//
// What happens takes four steps. Event and Presence run in the transaction that stores what an agent said: one indexed question for each
// alarm of a device, and one row where some policy may want it. Spread gives each recipient its delivery, or holds it back for a digest where
// too much happens or it is old. Mails then wait in package mail, webhooks in a table that any number of processes share by claims. Right
// before each attempt Wanted asks everything again (PERM-10): account, role, plan, policy, membership, recipient.
//
// A webhook is delivered at least once: it goes again, under the same id, where nobody knows whether the receiver took it.
package notify
