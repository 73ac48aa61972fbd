// Package licence turns activation codes into plans of devices (rules, section 5), and tells people before a plan ends (PLAN-12). It owns codes and
// what they were used for; which plan is in force, and when a warning is due, is package device's.
//
// A code is printed once, when it is issued; the database has its number, its salt and its hash. Functions take a transaction. A Service may be
// used by any number of goroutines and processes.
package licence
