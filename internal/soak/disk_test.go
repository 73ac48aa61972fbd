package soak

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"upsedge/internal/testenv"
)

// fill takes every free block of the agent's disk for a file of somebody else.
func (w *world) fill() {
	f, err := os.OpenFile(filepath.Join(w.disk.Dir, "foreign"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	var end int64
	for size := int64(64 << 20); size >= 4096; {
		err := unix.Fallocate(int(f.Fd()), 0, end, size)
		switch {
		case err == nil:
			end += size
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		default:
			w.t.Fatalf("fill the disk: %v", err)
		}
	}
}

func (w *world) free() {
	if err := os.Remove(filepath.Join(w.disk.Dir, "foreign")); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
}

// diskFull fills the disk under the agent for a while, in which it may be killed and start.
func (w *world) diskFull() {
	w.unsure()
	w.fill()
	w.pause(400)
	if w.rng.IntN(3) == 0 {
		w.killAgent()
		w.startAgent("agent.yaml")
		w.unsure()
		w.pause(300)
	}
	w.free()
	w.pause(200)
}

// powerCut takes the disk away from under the running agent: every call fails. Then the agent is killed, and the disk comes back
// with what was flushed.
func (w *world) powerCut() {
	w.pause(300)
	w.unsure()
	w.disk.Cut(testenv.Cut(1 + w.rng.IntN(2)))
	w.pause(100)
	w.killAgent()
	w.disk.PowerUp()
	w.mend()
}

// callsFail starts the agent on a driver whose calls fail here and there.
func (w *world) callsFail() {
	w.killAgent()
	var fails []stretch
	for range 1 + w.rng.IntN(4) {
		first := int64(1 + w.rng.IntN(400))
		fails = append(fails, stretch{first, first + int64([]int{0, 1, 5, 40}[w.rng.IntN(4)])})
	}
	w.start(role{Config: w.file("agent.yaml"), Fails: fails})
	w.unsure()
	w.pause(600)
	w.killAgent()
	w.mend()
}

// unsure says that the present run may end by itself, and whether it ends cleanly nobody knows: its disk fails.
func (w *world) unsure() {
	if w.run != nil {
		w.run.unsure = true
	}
}
