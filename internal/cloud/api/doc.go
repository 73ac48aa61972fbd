// Package api is the HTTP interface of the control plane, /api/v1 (design, section 8). It translates: a request becomes a call of a
// package that knows the rules, what that answers becomes JSON, and a *cloud.Error a problem document (RFC 9457) with its reason code.
// No rule stands here.
//
// Every route is a row of a table (routes): method, pattern, which action of the permission matrix it is, or why it is none, and one
// function. Two kinds of function:
//
//   - read answers from what is there, or calls a package that makes its transactions itself: sign-in and the like count what they refuse.
//   - change runs in one transaction of the store, with everything it writes, its Event Log entry included. On POST the header
//     Idempotency-Key makes it repeatable: the answer is kept in the same transaction, and the same key brings the same answer for a
//     day. A change may run again after a serialisation failure, so it does nothing but write to its transaction and use Tx.After.
//
// Both return an Answer or an error. What a function learns before it refuses goes into Request.Refused, so that refusals are logged,
// too, in a transaction of their own (LOG-1).
//
// Bodies are JSON objects read strictly (Request.Decode): unknown and repeated fields are refused by name. Lists come in pages
// (Request.Page): limit and cursor in the query, items and next in the answer. Every answer has X-Request-Id, which stands in log and Event Log.
//
// openapi/ holds one fragment per subject; merged they are /api/v1/openapi.json (OpenAPI 3.1). A test compares it with the table of
// routes, and every request and answer of the tests is held against it.
package api
