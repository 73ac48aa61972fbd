// Package doctor makes the support bundle: what somebody who is to help needs to know of an agent and its box, and nothing else (T-67). It owns
// the list of what is in it (Contents), the types that can say it (Facts has no field for anything else: PRIV-3, PRIV-4), the redaction of
// free text, the ring of log lines, and the last look for secrets, without which no bundle leaves. What the facts are, package agent knows; who
// may have them, the cloud and the executor of orders decide.
//
// A bundle is a gzipped tar of at most MaxBytes with the files of Contents, in their order, and nothing of the machine's in its headers: the
// same facts make the same bytes. It takes memory for MaxRaw and the compressed form, and no disk.
//
// Functions may be called concurrently; a Ring is safe for concurrent use.
package doctor
