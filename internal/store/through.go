package store

// Through returns the options with another SQLite driver than ours, by the name it is registered under with database/sql: one
// whose calls fail, say. It is for tests.
func (o Options) Through(driver string) Options {
	o.driver = driver
	return o
}
