package doctor

// An Item is one file of a bundle.
type Item struct {
	File string
	What string // is in it
	Why  string // it is asked for
	most int    // bytes; what is longer is cut at its beginning (the log) or its end
}

// The files.
const (
	fileContents     = "contents.json"
	fileBuild        = "build.json"
	fileBox          = "box.json"
	fileConfig       = "config.json"
	fileUnits        = "units.json"
	fileSpool        = "spool.json"
	fileClock        = "clock.json"
	fileCertificates = "certificates.json"
	fileUplink       = "uplink.json"
	fileChecks       = "checks.json"
	fileOrders       = "orders.json"
	fileMetrics      = "metrics.txt"
	fileLog          = "log.txt"
)

// Contents is the whole of what a bundle can have. docs/support-bundle.md has the same table, and a test compares them.
var Contents = []Item{
	{fileContents, "this list, with the size and SHA-256 of each file, and what was left out and why", "to know what one has", 64 << 10},
	{fileBuild, "version of the agent and of Go, when its source was changed and since when it runs", "which program this is", 64 << 10},
	{fileBox, "of the box: name, system, kernel, processor, memory, load, since when it runs, disk of the state directory, its own network interfaces and whether they are up", "to tell a box that is too small, full or new from one that is well; for the owner alone (PRIV-8)", 64 << 10},
	{fileConfig, "the keys of the configuration with their values where those are rates, limits, switches or names of units; of addresses the last two segments, of files only whether they are there, of host names nothing", "most of what is wrong is in it", 1 << 20},
	{fileUnits, "of the unit: name, model, firmware, serial number, condition, alarms, why it is not read, what it can be told, the read plan and what the line does", "what is wrong with the unit or its line", 1 << 20},
	{fileSpool, "how many records and orders wait, how old they are, how many were lost and why, what the disk says; no record itself", "whether anything is lost, and where it is stuck", 64 << 10},
	{fileClock, "whether the box knows the time, by whom, and how far off it is at most", "certificates and orders depend on it", 64 << 10},
	{fileCertificates, "of the agent's certificate: when it begins and ends; no name, no key", "a link that fails is often a date", 64 << 10},
	{fileUplink, "whether the link is configured, up, and why the last attempt failed, redacted", "why nothing arrives", 64 << 10},
	{fileChecks, "of each check of `upsagent doctor` that needs no network, no line and no look at other programs, whether it found something: ok, note or problem, and not a word of it", "what to ask for next", 64 << 10},
	{fileOrders, "the last 50 orders that ended, as the box shows them itself: no person, no id of one", "what was asked of the unit, and what it said", 256 << 10},
	{fileMetrics, "what the agent shows to Prometheus, at this moment", "numbers of everything above", 3 << 20},
	{fileLog, "the last lines of the agent's own log, redacted: units by their name in the configuration, no address, no host, no path", "what happened before", 1 << 20},
}

// Never says what no bundle has.
const Never = "other hosts and neighbour tables, processes, the environment, samples and events, keys, tokens, passwords, names and references of people, mail addresses, whole addresses"

const (
	// MaxBytes is what a bundle has at most.
	MaxBytes = 1 << 20
	// MaxRaw is what its files have at most, together.
	MaxRaw = 8 << 20
)

func itemOf(file string) *Item {
	for i := range Contents {
		if Contents[i].File == file {
			return &Contents[i]
		}
	}
	return nil
}
