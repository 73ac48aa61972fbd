// Package enroll makes an agent of a box, and keeps it one (rules, EDGE-12, EDGE-14; T-01, T-17, T-61, T-89): a key made here that never
// leaves, a certificate for it, the root of trust, and the renewal of the certificate while the agent runs.
//
// In the state directory it owns cloud/ (0700, files 0600 and of the owner of the state directory), and the file that package trust pins the
// root in:
//
//   - cloud/new.pem: the key of an enrolment that has begun. It goes when the enrolment is done.
//   - cloud/<agent>/agent.pem: key, certificate and chain in one file, which is replaced as a whole.
//   - cloud/<agent>/ca.pem: the authorities by which to know the cloud; not there where the system's do.
//   - cloud/<agent>/url: the address of the cloud, for renewals.
//
// The steps of an enrolment, each on disk before the next: the key; the cloud's answer, below cloud/<agent>/, which nobody reads yet; the
// root; the configuration, which is what makes the agent another one. A box that dies between two of them is what it was before, or cannot
// be told anything by a cloud, never half of two agents; the same command again goes on with the same key, which the cloud knows. A token
// whose answer was lost is good for the same key until its hour is over; a new one makes the same agent of the same key.
//
// One Enroll at a time works on a state directory. A Renewer runs beside it: it writes below its own agent's directory alone. A Client sends support bundles and only reads.
package enroll
