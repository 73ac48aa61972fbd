// Package guest gives tests a whole Debian 12 machine: made from packages (tools/guest-image), booted in QEMU without any help of the processor,
// with a serial port whose other end is a test's, and a network that is this machine's loopback alone (from inside: 10.0.2.2, also "outside").
// It owns the machine's life and how a test speaks to it; what is installed there and asked is the test's.
//
//	g := guest.Boot(t)                             // skips without UPSEDGE_GUEST=1, which `make test-guest` sets
//	g.Join(pty)                                    // /dev/ttyS1 inside is this pseudo terminal now; Part pulls the plug
//	g.PlugAdapter(pty)                             // a USB adapter, /dev/ttyUSB0; PullAdapter takes it out
//	g.PutFile("dist/upsagent.deb", "/root/upsagent.deb", 0o644)
//	out := g.Must("apt-get install -y /root/upsagent.deb")
//	r := g.Run("systemctl is-active upsagent")     // r.Out, r.Err, r.Code
//	g.Await(time.Minute, "systemctl is-active upsagent")
//	g.Reboot()
//	g.PowerCut()                                   // what was not on the disk is gone
//	g.Start()
//
// Commands run as root with sh, without a terminal, in a cgroup of their own daemon: `systemd-run --wait --pipe` gives one a unit. A boot takes some
// 20 s on a quiet machine of two cores; everything inside runs five to twenty times slower than outside, so tests wait for events, with wide limits.
//
// Each machine has a disk of its own, gone with the test, above the one that all share. Its console, with all the kernel says, is in Dir/console.
// For tests only. A Guest is for one goroutine at a time.
package guest
