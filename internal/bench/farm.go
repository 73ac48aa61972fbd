package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"upsedge/internal/ups/upssim"
)

// A farm answers for many units, each on a loopback address of its own, in one thread with epoll(7): it must cost less than who
// asks it, or it would be the farm that is measured. Its registers are those of a few simulated units, looked at ten times a
// second; only the serial number is each unit's own. It does not check whether a real unit would have answered: a request
// comes whole or the connection is closed, and a reply is written at once.
type farm struct {
	epoll   int
	port    uint16
	units   []farmUnit
	byFD    []int32 // unit of a connection, -1-unit of a listener, by descriptor
	models  []*upssim.Unit
	replies map[uint32][][]byte // PDU by address and count, then by model
	in, out [300]byte
	now     time.Time

	mu      sync.Mutex // taken once per turn of the loop
	counted farmCount
}

type farmUnit struct {
	lives int
	last  time.Time // of the last read of the live block
}

// A farmCount is what the farm has seen since it was last asked.
type farmCount struct {
	Reads   int     `json:"reads"`   // of any block
	Status  int     `json:"status"`  // of the status block
	Lives   int     `json:"lives"`   // of the live block
	Least   int     `json:"least"`   // of the live block, by the unit that was asked least
	Late    int     `json:"late"`    // of them, more than farmPeriod and a half after the one before
	Widest  float64 `json:"widest"`  // longest time between two, s
	Seen    int     `json:"seen"`    // units that were ever asked for it
	Seconds float64 `json:"seconds"` // since it was last asked
}

const (
	farmArgument = "answer-for-many-units"
	farmModels   = 16
	farmPeriod   = 100 * time.Millisecond
	serialAt     = 564 // eight registers (protocol reference, section 5.2)
)

// farmAddress is the address of unit i: 127.1.0.1 and following, 250 in each network of 256.
func farmAddress(i int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i / 250), byte(1 + i%250)}), port)
}

// runFarm answers for units until its standard input ends. For each line it reads there it writes one, with a farmCount.
func runFarm(units string) error {
	n, err := strconv.Atoi(units)
	if err != nil || n < 1 || n > 10_000 {
		return fmt.Errorf("%q is no number of units", units)
	}
	f := &farm{units: make([]farmUnit, n), replies: map[uint32][][]byte{}, now: time.Now()}
	for i := range farmModels {
		f.models = append(f.models, upssim.New(upssim.Options{Seed: uint64(i + 1)}))
	}
	if err := f.listen(); err != nil {
		return err
	}
	fmt.Println(f.port)
	failed := make(chan error, 1)
	go func() { failed <- f.loop() }()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		f.report(os.Stdin, os.Stdout)
	}()
	select {
	case err := <-failed:
		return err
	case <-asked:
		return nil // and everything ends with the process
	}
}

func (f *farm) report(r io.Reader, w io.Writer) {
	since := time.Now()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		f.mu.Lock()
		c := f.counted
		f.counted = farmCount{Seen: c.Seen}
		for i := range f.units {
			if i == 0 || f.units[i].lives < c.Least {
				c.Least = f.units[i].lives
			}
			f.units[i].lives = 0
		}
		f.mu.Unlock()
		c.Seconds, since = time.Since(since).Seconds(), time.Now()
		if json.NewEncoder(w).Encode(c) != nil {
			return
		}
	}
}

// listen opens a socket for each unit, on one port for all.
func (f *farm) listen() (err error) {
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for i := range f.units {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket of unit %d of %d: %w", i, len(f.units), err)
		}
		at := &unix.SockaddrInet4{Port: int(f.port), Addr: farmAddress(i, 0).Addr().As4()}
		if err := unix.Bind(fd, at); err != nil {
			return fmt.Errorf("bind to %v: %w", farmAddress(i, f.port), err)
		}
		if err := unix.Listen(fd, 16); err != nil {
			return err
		}
		if f.port == 0 {
			name, err := unix.Getsockname(fd)
			if err != nil {
				return err
			}
			f.port = uint16(name.(*unix.SockaddrInet4).Port)
		}
		if err := f.watch(fd, int32(-1-i)); err != nil {
			return err
		}
	}
	return nil
}

// watch has the loop look after a descriptor.
func (f *farm) watch(fd int, what int32) error {
	for fd >= len(f.byFD) {
		f.byFD = append(f.byFD, 0)
	}
	f.byFD[fd] = what
	return unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (f *farm) loop() error {
	events := make([]unix.EpollEvent, 256)
	var looked time.Time
	for {
		n, err := unix.EpollWait(f.epoll, events, 100)
		if err == unix.EINTR {
			continue
		} else if err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
		f.now = time.Now()
		if f.now.Sub(looked) >= farmPeriod {
			looked = f.now
			f.look()
		}
		f.mu.Lock()
		for _, e := range events[:n] {
			if unit := f.byFD[e.Fd]; unit < 0 {
				f.accept(int(e.Fd), -1-unit)
			} else if !f.answer(int(e.Fd), unit) {
				unix.Close(int(e.Fd))
			}
		}
		f.mu.Unlock()
	}
}

// look makes all replies anew, from what the simulated units would say now.
func (f *farm) look() {
	for key := range f.replies {
		f.make(key)
	}
}

// make makes the replies of all models to one question.
func (f *farm) make(key uint32) {
	all := f.replies[key]
	if all == nil {
		all = make([][]byte, farmModels)
		f.replies[key] = all
	}
	request := binary.BigEndian.AppendUint32([]byte{3}, key)
	for i, m := range f.models {
		all[i] = append(all[i][:0], m.Handle(request)...)
	}
}

func (f *farm) accept(fd int, unit int32) {
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // no more; a client that gave up is none
		}
		_ = unix.SetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // without it, slower and no more
		if f.watch(c, unit) != nil {
			unix.Close(c)
		}
	}
}

// answer answers the request that waits on a connection. It reports whether the connection goes on.
func (f *farm) answer(fd int, unit int32) bool {
	n := raw(unix.SYS_READ, fd, f.in[:])
	if n != 12 || f.in[7] != 3 {
		return n < 0 && n == -int(unix.EAGAIN)
	}
	key := binary.BigEndian.Uint32(f.in[8:])
	if f.replies[key] == nil {
		f.make(key)
	}
	pdu := f.replies[key][int(unit)%farmModels]
	out := append(append(f.out[:0], f.in[:7]...), pdu...)
	binary.BigEndian.PutUint16(out[4:], uint16(1+len(pdu)))
	addr, count := uint16(key>>16), uint16(key)
	if addr <= serialAt && addr+count >= serialAt+8 && pdu[0] == 3 {
		copy(out[9+2*(serialAt-addr):], fmt.Sprintf("FARM%08d    ", unit))
	}
	f.count(addr, int(unit))
	return raw(unix.SYS_WRITE, fd, out) == len(out)
}

func (f *farm) count(addr uint16, unit int) {
	c := &f.counted
	c.Reads++
	switch addr {
	case full[0].addr:
		c.Status++
	case full[1].addr:
		c.Lives++
		u := &f.units[unit]
		u.lives++
		if apart := f.now.Sub(u.last); !u.last.IsZero() {
			if apart > farmPeriod+farmPeriod/2 {
				c.Late++
			}
			c.Widest = max(c.Widest, apart.Seconds())
		} else {
			c.Seen++
		}
		u.last = f.now
	}
}

// raw reads or writes without telling the runtime: the descriptor does not block. It returns the error negated.
func raw(call uintptr, fd int, b []byte) int {
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return -int(errno)
	}
	return int(n)
}
