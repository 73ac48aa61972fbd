package guest

import (
	"strings"
	"testing"
)

// TestAMachineBootsAndDoesWhatItIsTold: what the other tests of this package rest on.
func TestAMachineBootsAndDoesWhatItIsTold(t *testing.T) {
	g := Boot(t)
	if r := g.Run("echo here; echo there >&2; exit 3"); r != (Result{"here\n", "there\n", 3}) {
		t.Errorf("it says %v", r)
	}
	t.Log(g.Must("cat /etc/debian_version; uname -r; systemd-analyze; systemctl --failed --no-legend; ls -l /dev/ttyS*; ip -br a"))
	whole := strings.Repeat("0123456789abcdef", 100_000)
	g.Put([]byte(whole), "/root/file", 0o600)
	if got := string(g.Get("/root/file")); got != whole {
		t.Errorf("of %d bytes %d came back", len(whole), len(got))
	}
	g.Must("sync")
	g.PowerCut()
	g.Start()
	if got := g.Must("stat -c %s /root/file"); got != "1600000\n" {
		t.Errorf("after a power cut: %s", got)
	}
	g.Reboot()
	g.PowerOff()
}
