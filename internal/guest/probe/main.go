// Command probe is what a fault in the agent would be good for: it runs in the agent's place, as the very file that upsagent.service starts, tries what
// nobody who got hold of the agent may do, and writes down what it was given (T-60). For tests in a guest only; nothing it does lasts.
//
// PROBE_FILES in its environment is a directory of what the test laid out for it, PROBE_PEER a process of the same user.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Result is the file that holds what came of every attempt: nothing where it succeeded, and else why not.
const result = "/var/lib/upsagent/probe.json"

func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	switch os.Args[1] {
	case "check", "reload", "nothing": // what the unit asks before each start; a program to be started
	case "who": // as the program that gives its caller the rights of its owner
		fmt.Print(os.Geteuid())
	case "run":
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(2)
	}
}

func run() error {
	if os.Getenv("PROBE_EAT") != "" {
		eat()
	}
	came := map[string]string{}
	for _, a := range attempts {
		came[a.name] = try(a.do)
	}
	text, err := json.Marshal(came)
	if err != nil {
		return err
	}
	if err := os.WriteFile(result, text, 0o600); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	<-end
	return nil
}

// try makes an attempt on a thread of its own, which ends with it: what it was given is gone.
func try(do func() error) string {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("panic: %v", r)
			}
		}()
		done <- do()
	}()
	select {
	case err := <-done:
		if err != nil {
			return err.Error()
		}
		return ""
	case <-time.After(20 * time.Second):
		return "it hangs"
	}
}

// ready tells systemd, as sd_notify(3) has it.
func ready() error {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("READY=1"))
	return err
}

// eat takes 400 MB and keeps them, unless somebody minds.
func eat() {
	var kept [][]byte
	for range 400 {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		kept = append(kept, block)
	}
	_ = os.WriteFile("/var/lib/upsagent/eaten", []byte(strconv.Itoa(len(kept))), 0o600)
	runtime.KeepAlive(kept)
}
