package command

// Through makes an Executor's journal use another SQLite driver.
func (o Options) Through(driver string) Options {
	o.driver = driver
	return o
}
