package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A machine is where a report comes from, and how busy it was: timings of a loaded machine say little.
type machine struct {
	CPU        string  `json:"cpu"`
	Processors int     `json:"processors"`
	Kernel     string  `json:"kernel"`
	LoadBefore float64 `json:"load_average_before"` // of the last minute
	LoadAfter  float64 `json:"load_average_after"`
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, Processors: runtime.NumCPU(), LoadBefore: load()}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(key) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	return m
}

// load is the load average of the last minute, -1 where nobody says.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1
	}
	first, _, _ := strings.Cut(string(text), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return -1
	}
	return v
}

// tooBusy is the load average from which a run should be repeated.
const tooBusy = 1.5

func (m machine) String() string {
	s := fmt.Sprintf("%s, %d processors, Linux %s; load average %.2f before and %.2f after", m.CPU, m.Processors, m.Kernel, m.LoadBefore, m.LoadAfter)
	if max(m.LoadBefore, m.LoadAfter) > tooBusy {
		s += "\nThe machine was busy with other things: REPEAT THIS RUN before believing it"
	}
	return s
}
