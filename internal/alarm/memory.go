package alarm

// A memory is what rules look at beside the latest values: how things went until now.
type memory struct{}
