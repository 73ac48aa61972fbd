// Package job orders one thing of many devices (rules, PERM-10, EDGE-4, EDGE-9; T-07): so many at a time, until each device has exactly one end,
// or so many have failed that the rest is left alone. It owns jobs and whose turn it is. What an order is, whether it may be and how it ends is
// package order's, one order for each device: nothing of that is kept here twice.
//
// A request judges every device as an order of its own would be; those that are refused then are never part of the job. The others wait for
// their turn. A turn makes the device's order, for which everything is judged again, and writes down in the same transaction that it was made:
// whoever is killed in between has made none, and of several processes on one PostgreSQL the second finds the row of the job changed and
// begins its step anew. So no device is ordered twice, and never more than at_once orders of a job are without an end.
//
// With queue a device whose agent is away keeps its turn until the agent is there or the start window ends, and holds up nobody. With reject
// it is refused when its turn comes.
//
// A Desk is safe for concurrent use.
package job
