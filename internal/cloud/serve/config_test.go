package serve

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/cloud/store"
)

func TestReferenceFileShowsTheDefaults(t *testing.T) {
	ref, err := Load("../../../configs/cloud.reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bare, err := Parse("bare", nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(bare, ref, cmp.AllowUnexported(store.Config{})); d != "" {
		t.Errorf("-default +reference:\n%s", d)
	}
}

func TestWrongFilesAreRefusedByKeyAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"data_dri: x":                             "f:1: data_dri: unknown key",
		"name: Cloud Example":                     "f:1: name:",
		"https: {listen: nowhere}":                "f:1: https.listen:",
		"https: {url: http://x}":                  "f:1: https.url:",
		"mqtt: {listen: \":8443\"}":               "f:1: mqtt.listen: :8443 is https.listen, too",
		"database: mysql://x":                     "f:1: database: is not like postgres://",
		"database: postgres://u:secret@h/d":       "f:1: database: has a password in it",
		"tls: {cert_file: x}":                     "f:1: tls: has one of",
		"orders: {load_10m: 0}":                   "f:1: orders.load_10m: 0 is not between 1 and 1000",
		"notify: {allow_networks: [10.1.0.1/16]}": "f:1: notify.allow_networks[0]: \"10.1.0.1/16\" is not a network",
		"notify: {allow_networks: [0.0.0.0/0]}":   "f:1: notify.allow_networks[0]: \"0.0.0.0/0\" is not a network like 10.1.0.0/16 (of 8 bits or more)",
		"balancers: [10.0.0.5, cloud.example]":    "f:1: balancers[1]: \"cloud.example\" is not an address",
		"balancers: [0.0.0.0/0]":                  "f:1: balancers[0]:",
		"trial: 90":                               "f:1: trial: 90 has no unit",
		"mail: {server: mail.example:25, from: a@b.example, tls: none}": "f:1: mail.tls: is none",
		"mail: {server: mail.example}":                                  "f:1: mail.server:",
		"mail: {server: \"mail.example:25\"}":                           "f:1: mail.from: is missing",
		"log: {level: loud}":                                            "f:1: log.level:",
		"log:\n  format: xml":                                           "f:2: log.format:",
		"name: [a]":                                                     "f:1: name:",
	} {
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	c, err := Parse("f", []byte("name: cloud.example\nmqtt: {listen: \"0.0.0.0:1\"}\ndatabase: postgres://u@h/d"))
	if err != nil || c.Broker != "tls://cloud.example:1" || c.URL != "https://cloud.example:8443" || c.Database.Driver != store.Postgres {
		t.Errorf("%+v, %v", c, err)
	}
}
