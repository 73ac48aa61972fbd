package upssim_test

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"upsedge/internal/ups/upssim"
)

// BenchmarkPacedReply reads 128/44 through a pseudo terminal and reports how far the end of each reply, as a reader sees it,
// is from where the arithmetic puts it: 8 byte times for the request, the turnaround, 93 byte times for the reply. The gap of
// 35 ms between exchanges is kept and does not count.
//
//	go test -run - -bench PacedReply -benchtime 200x ./internal/ups/upssim
func BenchmarkPacedReply(b *testing.B) {
	const (
		replyLength = 5 + 2*44
		turnaround  = 10 * time.Millisecond
		ideal       = (8+replyLength)*10*time.Second/9600 + turnaround
	)
	path, _ := onPTY(b, upssim.New(upssim.Options{}), upssim.SerialOptions{Turnaround: turnaround, StrictGap: true})
	port, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer port.Close()
	request := []byte{0x01, 0x03, 0x00, 0x80, 0x00, 0x2C, 0x45, 0xFF}
	buf := make([]byte, 256)
	var late []time.Duration
	var total time.Duration
	for b.Loop() {
		time.Sleep(36 * time.Millisecond)
		start := time.Now()
		if _, err := port.Write(request); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < replyLength; {
			if err := port.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				b.Fatal(err)
			}
			m, err := port.Read(buf[n:])
			if n += m; err != nil {
				b.Fatal(err)
			}
		}
		took := time.Since(start)
		total += took
		late = append(late, took-ideal)
	}
	slices.Sort(late)
	at := func(q int) float64 { return float64(late[(len(late)-1)*q/100].Microseconds()) }
	b.ReportMetric(float64(ideal.Microseconds()), "ideal-µs/reply")
	b.ReportMetric(float64(total.Microseconds())/float64(len(late)), "actual-µs/reply")
	b.ReportMetric(at(50), "late-p50-µs")
	b.ReportMetric(at(99), "late-p99-µs")
	b.ReportMetric(at(100), "late-max-µs")
	b.ReportMetric(0, "ns/op")
}
