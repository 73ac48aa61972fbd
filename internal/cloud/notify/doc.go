// Package notify tells people of what happens to devices: by mail and by signed webhooks, as their own policies say (rules, NOTE-1 and NOTE-2,
// PLAN-7). Every right is asked again at the moment of sending.
package notify
