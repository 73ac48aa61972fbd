package internal

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A layer is one package and all of this module that it may import. Every package has a row, so that what is imported
// directly is all that can be reached, and a new package is placed here on purpose. Tests may import more: see forTests.
type layer struct {
	pkg  string
	may  []string // packages of this module; "..." stands for all
	only string   // "std": nothing from outside the standard library either
	why  string   // the reason it may not import more
}

// Types shared by all parts of the agent: readings, records, and when something happened.
var shared = []string{"internal/ups", "internal/wire", "internal/clock"}

// What every part of the control plane may know.
var plane = []string{"internal/cloud", "internal/cloud/store", "internal/policy", "internal/ups", "internal/wire"}

const (
	apart = "parts meet in the types of ups and wire, and only internal/agent wires them: each can be read, tested and replaced alone"
	wires = "it composes"
)

var layers = []layer{
	{"internal/ups", nil, "std", "the vocabulary is shared with the cloud, which has no line, no broker and no disk of ours"},
	{"internal/ups/modbus", []string{"internal/ups"}, "", "a line knows registers and failures, no battery: every unit family uses the same one"},
	{"internal/ups/smartups", []string{"internal/ups", "internal/ups/modbus"}, "", "a driver answers what it is asked; when to ask is the sampler's"},
	{"internal/ups/upssim", nil, "", "simulator and driver are each checked against the register table; what they shared, both could have wrong"},
	{"internal/ups/capture", []string{"internal/ups/modbus"}, "", "it writes down frames of whatever unit family; what they mean it is not asked"},
	{"internal/ups/upstest", []string{"internal/ups", "internal/ups/modbus", "internal/ups/capture"}, "", "a contract for drivers that knows one of them is no contract"},
	{"internal/wire", []string{"internal/ups"}, "", "what crosses the network is read by agent and cloud, and rests on the vocabulary alone"},
	{"internal/policy", []string{"internal/ups"}, "", "agent and cloud must decide alike, from the matrix and nothing else"},
	{"internal/trust", []string{"internal/ups", "internal/wire", "internal/policy"}, "", "its verifying half runs in agent and cloud"},
	{"internal/trust/sign", []string{"internal/trust", "internal/wire"}, "", "it makes what trust verifies, and no rule of it stands here twice"},
	{"internal/clock", []string{"internal/wire"}, "", "every part takes its stamps from it"},
	{"internal/config/strict", nil, "", "it knows no key"},
	{"internal/manual", []string{"internal/config/strict"}, "", "what a program takes only the program knows: its tests ask, this package reads documents"},
	{"internal/sbom", nil, "std", "it reads what Go wrote into a program"},
	{"internal/manpage", nil, "", "it writes down any command tree; whose, it is handed"},
	{"internal/config", []string{"internal/config/strict", "internal/ups"}, "", "a file's shape is known to the agent alone; parts have options of their own"},

	{"internal/sampler", shared, "", apart},
	{"internal/alarm", shared, "", apart},
	{"internal/store", shared, "", apart},
	{"internal/command", append([]string{"internal/policy", "internal/trust"}, shared...), "", apart},
	{"internal/uplink", shared, "", apart},
	{"internal/enroll", append([]string{"internal/trust"}, shared...), "", apart},
	{"internal/doors", nil, "std", "it counts connections; what is asked over them it is not told"},
	{"internal/metrics", append([]string{"internal/doors"}, shared...), "", apart},
	{"internal/local", append([]string{"internal/doors"}, shared...), "", apart},
	{"internal/doctor", []string{"internal/ups", "internal/config"}, "", "it tells what it is told, and can say nothing else: what the facts are, only internal/agent knows"},

	{"internal/cloud", []string{"internal/policy"}, "", "the vocabulary of the control plane"},
	{"internal/cloud/store", []string{"internal/cloud", "internal/policy"}, "", "it keeps facts and knows no rule"},
	{"internal/cloud/store/storetest", []string{"internal/cloud/store", "internal/testenv"}, "", "both databases, for the tests of whoever keeps something there"},
	{"internal/cloud/ingest", append([]string{"internal/trust"}, plane...), "", "what an agent says is judged by the format alone; nothing of the agent runs in the cloud"},
	{"internal/cloud/ingest/receiver", []string{"..."}, "", "a process around the parts, for tests"},
	{"internal/cloud/proxied", nil, "std", "it reads one header"},
	{"internal/cloud/front", append([]string{"internal/cloud/ingest"}, plane...), "", "it moves messages; what they mean it is not asked"},
	{"internal/cloud/eventlog", plane, "", "every change writes to it: it must rest on nothing that changes"},
	{"internal/cloud/authority", append([]string{"internal/cloud/eventlog", "internal/cloud/limit", "internal/cloud/secret", "internal/trust", "internal/trust/sign"}, plane...), "", "it alone has the keys"},
	{"internal/cloud/mail", plane, "", "letters; who gets one is decided elsewhere"},
	{"internal/cloud/onetime", nil, "std", "codes that people type; what they are for it is not asked"},
	{"internal/cloud/secret", nil, "std", "it seals; where keys lie it is not asked"},
	{"internal/cloud/limit", plane, "", "it counts; what, it is told"},
	{"internal/cloud/invitation", append([]string{
		"internal/cloud/account", "internal/cloud/device", "internal/cloud/eventlog", "internal/cloud/limit", "internal/cloud/mail", "internal/cloud/onetime",
	}, plane...), "", "who is asked to share what; it gives no right by itself"},
	{"internal/cloud/licence", append([]string{
		"internal/cloud/account", "internal/cloud/device", "internal/cloud/eventlog", "internal/cloud/limit", "internal/cloud/mail", "internal/cloud/onetime",
	}, plane...), "", "what was paid for"},
	{"internal/cloud/notify", append([]string{
		"internal/cloud/account", "internal/cloud/device", "internal/cloud/eventlog", "internal/cloud/ingest", "internal/cloud/limit", "internal/cloud/mail", "internal/cloud/onetime",
		"internal/cloud/secret",
	}, plane...), "", "what people are told; what happened it takes from the others"},
	{"internal/cloud/account", append([]string{"internal/cloud/eventlog", "internal/cloud/limit", "internal/cloud/mail", "internal/cloud/onetime", "internal/cloud/secret"}, plane...), "", "people; what they may do with a device is decided elsewhere"},
	{"internal/cloud/device", append([]string{"internal/cloud/eventlog", "internal/cloud/authority", "internal/cloud/ingest", "internal/cloud/mail"}, plane...), "", "who owns what"},
	{"internal/cloud/history", append([]string{"internal/cloud/eventlog", "internal/cloud/device", "internal/cloud/ingest"}, plane...), "", "what units said, for who may read it"},
	{"internal/cloud/order", append([]string{"internal/cloud/eventlog", "internal/cloud/device", "internal/cloud/ingest", "internal/trust", "internal/trust/sign"}, plane...), "", "it signs nothing without having asked again"},
	{"internal/cloud/bundle", append([]string{"internal/cloud/eventlog", "internal/cloud/device", "internal/cloud/order", "internal/cloud/secret"}, plane...), "", "bytes for the owner; what they say it is not asked"},
	{"internal/cloud/job", append([]string{"internal/cloud/account", "internal/cloud/device", "internal/cloud/eventlog", "internal/cloud/order"}, plane...), "", "whose turn it is; what an order is, and whether it may be, is package order's"},
	{"internal/cloud/api", append([]string{
		"internal/cloud/account", "internal/cloud/authority", "internal/cloud/bundle", "internal/cloud/device", "internal/cloud/eventlog", "internal/cloud/history", "internal/cloud/ingest", "internal/cloud/invitation",
		"internal/cloud/job", "internal/cloud/licence", "internal/cloud/limit", "internal/cloud/mail", "internal/cloud/notify", "internal/cloud/order",
	}, plane...), "", "it translates between HTTP and the packages that know the rules"},
	{"internal/cloud/serve", []string{"..."}, "", wires},

	{"internal/agent", []string{"..."}, "", wires},
	{"internal/demo", []string{"..."}, "", wires},
	{"internal/bench", []string{"..."}, "", wires},
	{"internal/bench/peers/simonvetter", nil, "", "a module of its own, so that what is measured beside ours never gets into our go.mod"},
	{"cmd/agent", []string{"..."}, "", wires},
	{"cmd/cloud", []string{"internal/cloud", "internal/cloud/device", "internal/cloud/licence", "internal/cloud/serve", "internal/policy"}, "", "it turns flags, signals and files into calls; what an operator says of plans and licences it says in their words"},
	{"cmd/upssim", []string{"internal/ups/upssim"}, "", "a teaching tool: it must not grow into a second agent"},

	{"internal", []string{"..."}, "", "it holds tests of the whole tree"},
	{"internal/asyncapi", nil, "", "it holds messages against the document; what it shared with their makers, both could have wrong"},
	{"internal/testenv", nil, "", "every test may use it, those of the lowest packages too"},
	{"internal/guest", []string{"internal/testenv"}, "", "a machine on which whatever is installed; its tests know what"},
	{"internal/guest/probe", nil, "", "it stands in the agent's place and is none of it"},
	{"internal/testenv/browser", []string{"internal/testenv"}, "", "it looks at pages; whose, it is not told"},
	{"internal/rules", nil, "std", "it reads names of tests, and no rule"},
	{"internal/mutate", []string{"internal/rules"}, "std", "it changes what it tests: what it shared with that, it would change, too"},
	{"internal/mailsink", nil, "", "a mail server for the demonstration and for tests; what it shared with the sender, both could have wrong"},
	{"internal/soak", nil, "", "it holds tests alone, of everything together"},
}

// A fence keeps all but a few packages away from one package, of this module or another. "/..." covers what is below.
type fence struct {
	not   string
	but   []string // who may
	tests bool     // tests are kept away too
	why   string
}

var fences = []fence{
	{"upsedge/cmd/...", nil, true, "a command turns signals and flags into calls; what two need belongs in internal"},
	{"upsedge/internal/agent", []string{"cmd/agent", "internal/demo", "internal/bench"}, false, "the composition is the top: nothing rests on it"},
	{"upsedge/internal/ups/upstest", nil, false, "a contract suite is no part of a program"},
	{"upsedge/internal/asyncapi", nil, false, "a check of tests is no part of a program"},
	{"upsedge/internal/cloud/store/storetest", nil, false, "it opens databases for tests; a program opens its own"},
	{"upsedge/internal/manual", nil, false, "what documents say is no part of a program"},
	{"upsedge/internal/manpage", nil, false, "man pages are made by tests"},
	{"upsedge/internal/rules", []string{"internal/mutate"}, false, "names of tests are no part of a program"},
	{"upsedge/internal/testenv", []string{"internal/cloud/store/storetest", "internal/testenv/browser", "internal/guest"}, false, "it skips and fails tests; a program has none"},
	{"testing", []string{"internal/testenv", "internal/testenv/browser", "internal/guest", "internal/ups/upstest", "internal/cloud/store/storetest", "internal/manual", "internal/manpage"}, false, "it brings its flags and its sleep into the program"},
	{"github.com/alecthomas/kong", []string{"cmd/cloud", "cmd/upssim", "internal/manpage"}, false, "it calls methods by name, so the linker keeps all there are: 1.6 MB of the agent, which has 20"},
	{"github.com/mochi-mqtt/server/...", []string{"internal/demo", "internal/bench", "internal/cloud/front"}, false, "the agent is a client; a broker inside it would acknowledge what nobody has"},
}

// An edge is one import of one package. Test says that only test files have it.
type edge struct {
	from, to string
	test     bool
}

func TestImportsKeepToTheLayers(t *testing.T) {
	edges, packages := readImports(t, "..")
	for _, complaint := range complaints(packages, edges) {
		t.Error(complaint)
	}
	// A reader that found nothing would find nothing wrong.
	if len(packages) < 5 || !slices.Contains(edges, edge{"internal/clock", "upsedge/internal/wire", false}) {
		t.Errorf("only %d packages read, and internal/clock must import internal/wire among them: %v", len(packages), packages)
	}
}

func TestLayersNoticeWhatTheyForbid(t *testing.T) {
	for _, row := range []struct {
		e    edge
		want string // part of the complaint; "" when allowed
	}{
		{edge{"internal/ups", "upsedge/internal/ups/modbus", false}, "the vocabulary is shared"},
		{edge{"internal/ups", "golang.org/x/sys/unix", false}, "the vocabulary is shared"},
		{edge{"internal/ups", "encoding/json", false}, ""},
		{edge{"internal/ups/upssim", "upsedge/internal/ups/smartups", false}, "both could have wrong"},
		{edge{"internal/ups/upssim", "upsedge/internal/ups/smartups", true}, ""},
		{edge{"internal/sampler", "upsedge/internal/store", false}, "only internal/agent wires"},
		{edge{"internal/sampler", "upsedge/internal/wire", false}, ""},
		{edge{"internal/agent", "upsedge/internal/store", false}, ""},
		{edge{"internal/agent", "upsedge/cmd/agent", true}, "a command turns"},
		{edge{"internal/agent", "upsedge/internal/testenv", false}, "skips and fails tests"},
		{edge{"internal/agent", "upsedge/internal/testenv", true}, ""},
		{edge{"internal/uplink", "github.com/mochi-mqtt/server/v2", false}, "acknowledge what nobody has"},
		{edge{"internal/uplink", "github.com/mochi-mqtt/server/v2", true}, ""},
		{edge{"cmd/agent", "github.com/alecthomas/kong", false}, "calls methods by name"},
		{edge{"cmd/cloud", "github.com/alecthomas/kong", false}, ""},
		{edge{"internal/metrics", "testing", false}, "its flags"},
		{edge{"internal/newcomer", "fmt", false}, "has no row"},
	} {
		got := strings.Join(complaints([]string{row.e.from}, []edge{row.e}), "\n")
		if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("%s importing %s (test %v): complaints %q, want %q", row.e.from, row.e.to, row.e.test, got, row.want)
		}
	}
}

// complaints returns what is wrong with the tree, one line each, in a fixed order.
func complaints(packages []string, edges []edge) []string {
	rows := map[string]layer{}
	for _, l := range layers {
		rows[l.pkg] = l
	}
	var list []string
	for _, pkg := range packages {
		if _, ok := rows[pkg]; !ok {
			list = append(list, pkg+" has no row in internal/layers_test.go: say what it may import, and why no more")
		}
	}
	for _, e := range edges {
		if l, ok := rows[e.from]; ok && !e.test && !l.allows(e.to) {
			list = append(list, fmt.Sprintf("%s must not import %s: %s", e.from, e.to, l.why))
		}
		for _, f := range fences {
			if f.bars(e) {
				list = append(list, fmt.Sprintf("%s must not import %s: %s", e.from, e.to, f.why))
			}
		}
	}
	return list
}

func (l layer) allows(imported string) bool {
	if own, ok := strings.CutPrefix(imported, "upsedge/"); ok {
		return slices.Contains(l.may, own) || slices.Contains(l.may, "...")
	}
	// The paths of the standard library alone have no dot in their first part.
	first, _, _ := strings.Cut(imported, "/")
	return l.only != "std" || !strings.Contains(first, ".")
}

func (f fence) bars(e edge) bool {
	if e.test && !f.tests || slices.Contains(f.but, e.from) || e.from == "internal" {
		return false
	}
	if below, ok := strings.CutSuffix(f.not, "/..."); ok {
		return e.to == below || strings.HasPrefix(e.to, below+"/")
	}
	return e.to == f.not
}

// readImports reads the import clauses of every Go file under cmd and internal, whatever its build constraints. It opens
// the files itself, instead of asking go list, so that go test knows what its cached result depends on.
func readImports(t *testing.T, root string) ([]edge, []string) {
	t.Helper()
	edges, packages := map[edge]bool{}, map[string]bool{}
	read := func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), "_")):
			return filepath.SkipDir
		case d.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(rel))
		packages[pkg] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			edges[edge{pkg, to, strings.HasSuffix(file, "_test.go")}] = true
		}
		return nil
	}
	for _, dir := range []string{"cmd", "internal"} {
		if err := filepath.WalkDir(filepath.Join(root, dir), read); err != nil {
			t.Fatal(err)
		}
	}
	order := func(a, b edge) int { return strings.Compare(a.from+" "+a.to, b.from+" "+b.to) }
	return slices.SortedFunc(maps.Keys(edges), order), slices.Sorted(maps.Keys(packages))
}
