// Package device knows who owns which unit (rules, section 9), with which plan, and what sites say of their units. It owns registrations,
// their epochs and grant versions, and the sightings: what each agent's full states report.
//
// A unit is known by its serial number, a device by its id. A device is one registration: the same unit, registered again, is another
// device with a higher epoch, and nothing of the one before is shown with it. Role says what an account is to a device; whether that role
// may do something is asked of package policy by whoever does it.
//
// Functions take a transaction. They and a Registry may be used by any number of goroutines and processes.
package device
