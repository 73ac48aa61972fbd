package asyncapi

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

const document = "../../docs/asyncapi.yaml"

func load(t *testing.T) *Document {
	t.Helper()
	d, err := Load(document)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestGoldenMessagesAreInTheDocument: what each golden file is called there, and that none was forgotten.
func TestGoldenMessagesAreInTheDocument(t *testing.T) {
	d := load(t)
	want := map[string]struct {
		leaf wire.Leaf
		name string
	}{
		"ack.json":          {wire.TopicAcks, "ack"},
		"event-alarm.json":  {wire.TopicEvents, "alarm"},
		"event-group.json":  {wire.TopicEvents, "alarm"},
		"gap-one.json":      {wire.TopicEvents, "gap"},
		"gap-two.json":      {wire.TopicEvents, "gap"},
		"state-cloud.json":  {wire.TopicState, "full"},
		"state-first.json":  {wire.TopicState, "first"},
		"state-full.json":   {wire.TopicState, "full"},
		"state-silent.json": {wire.TopicState, "full"},
		"state-will.json":   {wire.TopicState, "will"},
		"block-hash.hex":    {wire.TopicSamples, "samples"},
		"block-inline.hex":  {wire.TopicSamples, "samples"},
		"picture.hex":       {wire.TopicSamples, "samples"},
		"result.json":       {wire.TopicResults, "result"},
	}
	files, err := filepath.Glob("../wire/testdata/v1/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		row, known := want[filepath.Base(file)]
		if delete(want, filepath.Base(file)); !known {
			if filepath.Ext(file) != ".txt" { // what a block says
				t.Errorf("%s has no row here", file)
			}
			continue
		}
		payload, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".hex" {
			if payload, err = hex.DecodeString(strings.Join(strings.Fields(string(payload)), "")); err != nil {
				t.Fatal(err)
			}
		}
		if name, err := d.Check(wire.Topic("box-7", row.leaf), payload); err != nil || name != row.name {
			t.Errorf("%s is %q, want %q: %v", file, name, row.name, err)
		}
	}
	for file := range want {
		t.Errorf("there is no %s", file)
	}
}

func TestMessagesThatAreNotInTheDocument(t *testing.T) {
	d := load(t)
	read := func(file string) string {
		b, err := os.ReadFile(filepath.Join("../wire/testdata/v1", file))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, row := range []struct {
		leaf         wire.Leaf
		file         string
		old, changed string
	}{
		{wire.TopicAcks, "ack.json", `"lane":"samples"`, `"lane":"results"`},
		{wire.TopicAcks, "ack.json", `"through":1041`, `"through":-1`},
		{wire.TopicAcks, "ack.json", `"v":1`, `"v":2`},
		{wire.TopicEvents, "event-alarm.json", `"kind":"raise"`, `"kind":"rise"`},
		{wire.TopicEvents, "event-alarm.json", `"kind":"raise"`, `"kind":"raise","raised_by":4`},
		{wire.TopicEvents, "event-alarm.json", `"time_trusted":true`, `"time_trusted":false`},
		{wire.TopicEvents, "event-alarm.json", `"unit":`, `"units":`},
		{wire.TopicEvents, "event-alarm.json", `"seq":1041`, `"seq":0`},
		{wire.TopicEvents, "event-alarm.json", `"0x44"`, `"44"`},
		{wire.TopicEvents, "event-group.json", `"group_number":1,`, ``},
		{wire.TopicEvents, "gap-one.json", `"first":17,`, ``},
		{wire.TopicEvents, "gap-one.json", `"class":"gap"`, `"class":"alarm"`},
		{wire.TopicEvents, "gap-two.json", `"mono"`, `"nano"`},
		{wire.TopicState, "state-first.json", `"session":42`, `"session":0`},
		{wire.TopicState, "state-first.json", `"nonce":"`, `"nonce":"x`},
		{wire.TopicState, "state-will.json", `"online":false`, `"online":true`},
		{wire.TopicState, "state-cloud.json", `"holdover"`, `"good"`},
		{wire.TopicState, "state-cloud.json", `"on_battery"`, `"on_batery"`},
		{wire.TopicState, "state-cloud.json", `"first":4`, `"frist":4`},
		{wire.TopicResults, "event-alarm.json", `"v":1`, `"v":1`},
	} {
		changed := strings.Replace(read(row.file), row.old, row.changed, 1)
		if changed == read(row.file) && row.old != row.changed {
			t.Errorf("%s has no %s", row.file, row.old)
		}
		if name, err := d.Check(wire.Topic("box-7", row.leaf), []byte(changed)); err == nil {
			t.Errorf("%s with %s is taken for %q", row.file, row.changed, name)
		}
	}
}

// TestDocumentHasTheWordsOfTheCode: topics and closed sets are in both.
func TestDocumentHasTheWordsOfTheCode(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	notYet := []wire.Leaf{wire.TopicHost}
	for _, leaf := range wire.Leaves {
		address, found := resolve(root, "#/channels/"+string(leaf)+"/address")
		if planned := slices.Contains(notYet, leaf); found == planned || found && address != wire.Prefix+"{agentId}/"+string(leaf) {
			t.Errorf("channel %s: address %v, there %v, to come %v", leaf, address, found, planned)
		}
	}
	var groups []string
	for g := ups.MainGroup; g <= ups.SOG3; g++ {
		groups = append(groups, g.String())
	}
	for ref, want := range map[string][]string{
		"#/components/schemas/unit/properties/condition/items/enum": ups.StatusNames[:],
		"#/components/schemas/alarm/properties/group/enum":          groups,
		"#/components/schemas/result/properties/state/enum":         orderStates(),
		"#/components/schemas/lane/enum":                            {wire.Events.String(), wire.Samples.String()},
	} {
		var got []string
		list, _ := resolve(root, ref)
		for _, v := range list.([]any) {
			got = append(got, v.(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", ref, got, want)
		}
	}
}

func TestDocumentsThatAreNone(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"channels: [", "yaml"},
		{`{channels: {a: {address: "x/{id}/a", messages: {m: {$ref: "#/components/messages/m"}}}}}`, "leads nowhere"},
		{`{channels: {a: {address: x, messages: {}}}}`, "no parameter"},
		{`{channels: {a: {address: "x/{id}/a", messages: {m: {$ref: "#/m"}}}}, m: {payload: {type: 3}}}`, "message m"},
	} {
		path := filepath.Join(t.TempDir(), "asyncapi.yaml")
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("Load(%s) = %v, want %q", row.text, err, row.want)
		}
	}
}

func orderStates() (out []string) {
	for _, s := range wire.OrderStates {
		out = append(out, string(s))
	}
	return out
}
