package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"upsedge/internal/mailsink"
	"upsedge/internal/manual"
	"upsedge/internal/testenv"
)

const cloudPage = "docs/cloud.md"

// people are what the owner does beside the page, as README does it.
const people = `
C=https://localhost:8443
api() { curl -sS --cacert /var/lib/upscloud/ca.pem -b jar -c jar -H 'Content-Type: application/json' "$C/api/v1$@"; echo; }
field() { grep -o "\"$1\":\"[^\"]*\"" | head -n1 | cut -d'"' -f4; }
order() { O=$(api /devices/$D/orders -d '{"action":"diagnostics.run","params":{"test":"self"}}' | field id); api /orders/$O/events -N >events; api /orders/$O | tee last; grep -q '"state":"done"' last; }
`

// letIn lets the agent in, registers its unit and has it do something.
const letIn = `
api /session -d '{"email":"you@example.com","password":"violet tractor 93 lemons"}'
upsagent probe --serial /dev/ttyUSB0 --write
echo 'orders: {allow: [diagnostics]}' >>/etc/upsagent/agent.yaml
systemctl start upsagent
api /agents/tokens -d '{"name":"site"}' | field token | upsagent enroll --cloud $C --token -
until api /sightings | grep -q AS2130000001; do sleep 0.2; done
D=$(api /devices -d '{"serial":"AS2130000001","name":"Rack A"}' | field id)
until api /devices/$D | grep -q '"in_force":true'; do sleep 0.2; done
order
`

// TestTheCommandsOfTheCloudPageDoWhatTheySay runs the page with an agent and its owner beside it: an order before the backup, one between it
// and the restore, which the database forgets and the agent does not, and one afterwards, which is carried out.
func TestTheCommandsOfTheCloudPageDoWhatTheySay(t *testing.T) {
	t.Parallel()
	b := newCloudBox(t)
	var script strings.Builder
	script.WriteString(people)
	for _, block := range manual.Script(t, "../..", cloudPage, "cloud") {
		text := block.Commands()
		switch {
		case strings.Contains(text, "upscloud backup"):
			text = letIn + text + "order\n"
		case strings.Contains(text, "upscloud restored"):
			text += "until api /devices/$D | grep -q '\"in_force\":true'; do sleep 0.2; done\norder\n"
		}
		script.WriteString(text)
	}
	if n := strings.Count(script.String(), "\norder\n"); n != 3 {
		t.Fatalf("the page has no backup or no restore: %d orders", n)
	}
	out, err := b.command(t, script.String()).CombinedOutput()
	if t.Logf("%s", out); err != nil || strings.Count(string(out), `"state":"done"`) != 3 || strings.Count(string(out), "nothing was altered") != 2 {
		t.Fatalf("%v%s", err, b.journal())
	}
}

// TestTheCommandsForPostgreSQLDoWhatTheySay: a licence that is made after the backup is not there after the restore, the account from before is.
func TestTheCommandsForPostgreSQLDoWhatTheySay(t *testing.T) {
	t.Parallel()
	cluster := testenv.OwnPostgres(t, "")
	b := newCloudBox(t, "/run/postgresql", cluster.Socket())
	b.env = append(b.env, "PGHOST="+cluster.Socket(), "PGUSER="+cluster.User(), "PATH="+b.root+"/bin:"+cluster.Programs()+":"+os.Getenv("PATH"))
	var script strings.Builder
	script.WriteString(people)
	for _, block := range manual.Script(t, "../..", cloudPage, "postgres") {
		text := block.Commands()
		switch {
		case strings.Contains(text, "upscloud backup"):
			text += "upscloud licence issue --plan advanced --days 30\n"
		case strings.Contains(text, "upscloud restored"):
			text = "[ $(upscloud licence list --json | wc -l) = 1 ]\n" + text + "[ $(upscloud licence list --json | wc -l) = 0 ]\n" +
				"api /session -d '{\"email\":\"you@example.com\",\"password\":\"violet tractor 93 lemons\"}' | grep you@example.com\n"
		}
		script.WriteString(text)
	}
	out, err := b.command(t, script.String()).CombinedOutput()
	if t.Logf("%s", out); err != nil || !strings.Contains(string(out), "you@example.com") {
		t.Fatalf("%v%s", err, b.journal())
	}
}

// newCloudBox is a box with upscloud in it, and a mail server beside it.
func newCloudBox(t *testing.T, says ...string) *box {
	t.Helper()
	b := newBox(t)
	letters, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&mailsink.Sink{}).Serve(ctx, letters) }()
	t.Cleanup(func() { cancel(); <-ended })
	for _, dir := range []string{"etc/upscloud", "media/usb", "var/backups"} {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ports := freePorts(t, 3)
	b.write(t, "cloud-metrics", "127.0.0.1:"+ports[2])
	b.write(t, "bin/upscloud", fmt.Sprintf("#!/bin/sh\nexec %s --config %s/etc/upscloud/cloud.yaml \"$@\"\n", testenv.Build(t, "./cmd/cloud"), b.root))
	b.write(t, "bin/systemd-ask-password", "#!/bin/sh\necho violet tractor 93 lemons\n")
	b.write(t, "bin/install", "#!/bin/sh\nfor dir; do :; done; exec mkdir -p \"$dir\"\n") // users of packages are not here
	b.says = slices.Concat(says, b.says, []string{
		"name: cloud.example", fmt.Sprintf("name: localhost\ndata_dir: %s/var/lib/upscloud\nhttps: {listen: \"127.0.0.1:%s\"}\nmqtt: {listen: \"127.0.0.1:%s\"}\nmetrics: {listen: \"127.0.0.1:%s\"}",
			b.root, ports[0], ports[1], ports[2]),
		`server: "mail.example:587", user: cloud, password_file: /etc/upscloud/mail`, fmt.Sprintf(`server: %q, tls: none`, letters.Addr()),
		"localhost:8443", "localhost:" + ports[0], "127.0.0.1:9821", "127.0.0.1:" + ports[2],
		"/etc/upscloud", b.root + "/etc/upscloud", "/var/lib/upscloud", b.root + "/var/lib/upscloud", "/media/usb", b.root + "/media/usb", "/var/backups", b.root + "/var/backups",
	})
	b.names = strings.NewReplacer(b.says...)
	t.Cleanup(func() { b.must(t, "systemctl stop upscloud") })
	return b
}
