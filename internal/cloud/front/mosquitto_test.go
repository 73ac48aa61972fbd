package front

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

// Another implementation of MQTT 3.1.1: the clients of mosquitto, with certificates.
func TestTheClientsOfMosquittoAreServed(t *testing.T) {
	s := newSite(t, nil)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	cert := s.ca.agent("rack7")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	must(t, err)
	_, port, _ := net.SplitHostPort(s.addr)
	args := []string{
		"-h", "127.0.0.1", "-p", port, "-i", "rack7", "-q", "1", "--cafile", write("ca.pem", "CERTIFICATE", s.ca.cert.Raw),
		"--cert", write("cert.pem", "CERTIFICATE", cert.Certificate[0]), "--key", write("key.pem", "PRIVATE KEY", key),
	}
	pub := func(more ...string) (string, error) {
		out, err := testenv.Command(t, "mosquitto_pub", append(args, more...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := pub("-t", topic("rack7", wire.TopicState), "-m", "first", "-r"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := pub("-V", "mqttv5", "-t", topic("rack7", wire.TopicState), "-m", "x"); err == nil || !strings.Contains(out, "Unsupported Protocol Version") {
		t.Errorf("MQTT 5: %v\n%s", err, out)
	}
	if out, err := pub("-t", topic("rack8", wire.TopicState), "-m", "x"); err == nil {
		t.Errorf("a foreign topic: %s", out)
	}
	if got := s.heap.messages(); len(got) != 1 || string(got[0].Payload) != "first" {
		t.Errorf("kept %v", got)
	}
	sub := testenv.Command(t, "mosquitto_sub", append(args, "-t", topic("rack7", wire.TopicOrders), "-C", "1")...)
	var out strings.Builder
	sub.Stdout, sub.Stderr = &out, &out
	must(t, sub.Start())
	await(t, "subscription", func() bool { return s.Connected("rack7") })
	must(t, s.Publish("rack7", wire.TopicOrders, []byte("an order")))
	if err := sub.Wait(); err != nil || out.String() != "an order\n" {
		t.Errorf("%v, came %q", err, out.String())
	}
	denied, err := testenv.Command(t, "mosquitto_sub", append(args, "-t", topic("rack8", wire.TopicOrders))...).CombinedOutput()
	if !strings.Contains(string(denied), "All subscription requests were denied") {
		t.Errorf("a foreign subscription: %v\n%s", err, denied)
	}
}
