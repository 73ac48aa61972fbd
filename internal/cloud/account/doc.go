// Package account owns who uses the cloud: identities (how somebody signs in), accounts (who somebody is), organisations, sessions, and
// the codes that go by mail. Identity and account are two tables (design, section 8): a sign-in can come to be made elsewhere, and an
// account can go while the sign-in stays.
//
// An e-mail address is an attribute, never a key: accounts, actors and organisations have opaque ids that are used once (rules, section 1).
// Nothing here tells whether an address has an account: sign-up, reset and invitation answer alike for known and unknown ones, and do the
// same work for both; what differs goes by mail (rules, INV-9).
//
// Secrets are never logged, not even partly (LOG-10). At rest passwords are argon2id, codes and session tokens are hashes; the secret of
// a second factor, which must be computed with, is sealed with a key that is not in the database, and codes stand in mails that wait for
// their sending.
//
// Rights on devices are not decided here: membership of an organisation gives none (ORG-3).
//
// A Service may be used concurrently, and any number of processes may work on one database.
package account
