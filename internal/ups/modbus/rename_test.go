package modbus

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"upsedge/internal/ups/upssim"
)

// An adapter that is plugged in again gets another name, and its stable link, as in /dev/serial/by-id, leads there: the line
// opens the link anew and goes on.
func TestAnAdapterUnderAnotherName(t *testing.T) {
	link := filepath.Join(t.TempDir(), "by-id")
	pty, err := upssim.OpenPTY(link)
	if err != nil {
		t.Skip("no pseudo-terminal here:", err)
	}
	unit := upssim.New(upssim.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		_ = pty.Serve(ctx, upssim.SerialOptions{Baud: 38400}, map[uint8]*upssim.Unit{1: unit})
		pty.Close()
	})
	defer serving.Wait()
	defer cancel()
	line, stop := start(t, Config{Open: OpenSerial(link, 38400, "none"), Baud: 38400})
	defer stop()
	read := func() bool {
		_, err := line.ReadHolding(t.Context(), Background, 1, 0, 3, make([]uint16, 3))
		return err == nil
	}
	for range 2 {
		within(t, 20*time.Second, "a read", read)
		was, _ := os.Readlink(link)
		unit.Faults().Set(upssim.Pull, true)
		if read() {
			t.Error("a read over a cable that is pulled")
		}
		unit.Faults().Set(upssim.Pull, false)
		within(t, 20*time.Second, "a read over the new port", read)
		if is, _ := os.Readlink(link); is == was {
			t.Errorf("the port is still %s", is)
		}
	}
}
