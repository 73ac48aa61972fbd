package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// A qmp is QEMU's own ear: what is plugged in and out while the machine runs (QEMU, "QMP Reference Manual").
type qmp struct {
	conn  net.Conn
	lines *bufio.Reader
}

func dialQMP(path string, done <-chan struct{}) (*qmp, error) {
	for range 3000 {
		select {
		case <-done:
			return nil, errors.New("it ended")
		default:
		}
		if conn, err := net.Dial("unix", path); err == nil {
			q := &qmp{conn, bufio.NewReader(conn)}
			if _, err := q.lines.ReadBytes('\n'); err != nil { // its greeting
				return nil, err
			}
			return q, q.call("qmp_capabilities", nil)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.New("it listens to nobody")
}

func (q *qmp) close() { _ = q.conn.Close() }

// call gives an order and waits until it was carried out; events that come between are passed over.
func (q *qmp) call(what string, arguments map[string]any) error {
	request := map[string]any{"execute": what}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return err
	}
	for {
		line, err := q.lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var reply struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := json.Unmarshal(line, &reply); err != nil {
			return err
		}
		if reply.Error != nil {
			return fmt.Errorf("%s: %s", what, reply.Error.Desc)
		}
		if reply.Return != nil {
			return nil
		}
	}
}
