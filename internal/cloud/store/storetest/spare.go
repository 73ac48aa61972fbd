package storetest

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"

	"upsedge/internal/testenv"
)

// databases are those that tests have left as they were made. Making one costs as much as all else that a usual test does.
type databases struct {
	mu    sync.Mutex
	names []string
}

var spare databases

func (d *databases) take() (name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.names); n > 0 {
		name, d.names = d.names[n-1], d.names[:n-1]
	}
	return name
}

func (d *databases) give(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = append(d.names, name)
}

// errUsed says that a database is not to be used again.
var errUsed = errors.New("somebody is connected, or its tables are not those of the model")

// emptied empties the tables of a database, and lets their numbers begin anew.
func emptied(c *testenv.Cluster, name string) error {
	db, err := sql.Open("pgx", c.DSN(name))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx := context.Background()
	const others = `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	var n int
	if err := db.QueryRowContext(ctx, others).Scan(&n); err != nil || n > 0 {
		return errors.Join(errUsed, err)
	}
	want, err := tablesOf(ctx, c.DSN(model))
	if err != nil {
		return err
	}
	have, err := tablesOf(ctx, c.DSN(name))
	if err != nil || strings.Join(want, " ") != strings.Join(have, " ") {
		return errors.Join(errUsed, err)
	}
	var used []string
	for _, table := range have {
		var some bool
		if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM `+table+`)`).Scan(&some); err != nil {
			return err
		}
		if some {
			used = append(used, table)
		}
	}
	if len(used) == 0 {
		return nil
	}
	_, err = db.ExecContext(ctx, `TRUNCATE `+strings.Join(used, ", ")+` RESTART IDENTITY CASCADE`)
	return err
}

// tablesOf lists the tables, but for goose's own.
func tablesOf(ctx context.Context, dsn string) (out []string, err error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	const query = `SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'goose_db_version'`
	var names string
	err = db.QueryRowContext(ctx, query).Scan(&names)
	return strings.Fields(names), err
}
