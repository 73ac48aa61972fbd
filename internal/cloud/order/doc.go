// Package order is the cloud's half of remote commands (design, sections 6 to 8; rules, sections 3, 4 and 13). It owns what was asked
// for and what became of it: the orders, the history of their states, the counter and the session of each agent, and the words the
// cloud says on the topic orders: commands and statements. Who may do what is asked of packages device and policy, at the request and
// again at delivery (PERM-10); keys are the authority's, behind Signer.
//
// An order is an intent until it is delivered. It waits as pending; when its agent is connected to this process, has accepted a statement
// in this session and owes no answer to an earlier one, rights, plan and epoch are judged once more, a counter is used up and the order
// becomes sent, in one commit, and only then the signed command goes out. Whoever crashes in between has delivered nothing: the
// connection ends with the process, and the next session gets the same order, under the same id, with a new nonce and counter, while its
// life lasts and nothing was answered. The agent's journal answers a known id and does nothing (EDGE-6), so a command may come twice.
//
// Every order gets exactly one final state (EDGE-9). What ends it:
//
//   - never sent: refused with the reason that came up at delivery, cancelled, or expired when its life is over.
//   - sent: what the agent tells. Without any answer by AnswerTime behind the end of its life it is unknown: the agent may have got
//     it, and it alone could say. With an answer but no end, unknown after OutcomeTime: a box that is fed by the unit it switched
//     off comes back only with the mains.
//
// What the agent tells behind the end is kept beside it (Order.Late) and never changes it.
//
// A Book is safe for concurrent use. Any number of processes may share one PostgreSQL: only the one that heard the nonce of a session
// sends on it.
package order
