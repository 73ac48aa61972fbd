// Package authority says who is who: it owns the cloud's own keys, and which agents there are (rules, EDGE-12, EDGE-14, DEV-6; T-01, T-10,
// T-17, T-61, T-89).
//
// In the data directory (0700, files 0600, each written whole or not at all and synced):
//
//   - ca.key, ca.pem: the authority that certifies agents, and the cloud's own server where no certificate is configured.
//   - server.pem: that certificate with its key, made anew by itself before it ends.
//   - root.key, root.pem: the root of trust that agents pin. It signs lists of keys and nothing else. Nothing but RotateKey needs root.key: it
//     belongs on a medium that lies in a safe.
//   - online.pem: the key that signs statements and commands, and the list of keys as the root signed it, in one file: they change together.
//   - keys-<version>.jws: every list there was, for who verifies an old signature.
//
// In the database: agents (enrolled_agents), their certificates, and tokens, of which only a hash is kept. Every step writes its entry in
// the Event Log in the same transaction.
//
// An Authority may be used by any number of goroutines. Processes that share a database share these files, too: copy the directory, without
// root.key, and once more after each rotation.
package authority
