package ingest

import (
	"database/sql"
	"slices"

	"upsedge/internal/cloud/store"
	"upsedge/internal/wire"
)

// agentsOf lists the agents that messages come from, each once, in the order in which they are locked everywhere.
func agentsOf(messages []Message) []string {
	var names []string
	for i, m := range messages {
		if i > 0 && m.Topic == messages[i-1].Topic {
			continue
		}
		if name, _, err := wire.SplitTopic(m.Topic); err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// holdAtOnce is how many agents one statement locks.
const holdAtOnce = 16

// holdQuery asks who has written last what is known of the agents. Where several processes write, it waits until nobody else is
// at work on them, and keeps others away until the commit.
var holdQuery = map[string]string{
	store.SQLite:   holdSelect,
	store.Postgres: holdSelect + " FOR UPDATE",
}

const holdSelect = `SELECT name, holder FROM agents WHERE name IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ORDER BY name`

// hold has the agents for this transaction alone. Of those that another process has written since, the cache is forgotten.
//
// The rule behind the cache: whoever changes something of an agent in the tables of this package holds its row, and leaves its own
// number there. A number that is ours says that nothing has changed since our last commit.
func (b *batch) hold(names []string) {
	for part := range slices.Chunk(names, holdAtOnce) {
		args := make([]any, holdAtOnce)
		for i := range args {
			args[i] = part[min(i, len(part)-1)]
		}
		var foreign []string
		b.each(holdQuery[b.tx.Dialect()], args, func(rows *sql.Rows) error {
			var name string
			var holder int64
			err := rows.Scan(&name, &holder)
			if holder != b.r.number {
				foreign = append(foreign, name)
			}
			return err
		})
		for _, name := range foreign {
			b.cache.forget(name)
			b.exec(`UPDATE agents SET holder = $1 WHERE name = $2`, b.r.number, name)
		}
	}
}
