package command

// Through makes an Executor's journal use another SQLite driver.
func (o Options) Through(driver string) Options {
	o.driver = driver
	return o
}

// AtMost makes an Executor's journal full with that many orders.
func (o Options) AtMost(n int64) Options {
	o.most = n
	return o
}
