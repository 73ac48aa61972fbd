package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"upsedge/internal/sampler"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// wireBytes is what one way of publishing a trace takes on the network: MQTT 3.1.1 at quality of service 1 within TLS, counted
// at the socket, both ways, without the handshake. TCP and IP are not in it; they favour few large messages further.
type wireBytes struct {
	Way      string  `json:"way"`
	Messages int     `json:"messages"`
	Samples  int     `json:"samples"` // values that are there
	Up       float64 `json:"bytes_up_per_sample"`
	Down     float64 `json:"bytes_down_per_sample"` // PUBACK, and of blocks an acknowledgement of the cloud for each
}

// A way turns a trace into messages.
type way struct {
	name  string
	every time.Duration                           // of blocks; 0: a message per poll
	poll  func(dst []byte, r *ups.Reading) []byte // with every 0
}

var ways = []way{
	{"upsedge, blocks of 10 s", flushEvery, nil},
	{"upsedge, blocks of 60 s", time.Minute, nil},
	{"one protobuf message per poll", 0, appendProtobuf},
	{"JSON per poll", 0, appendJSON},
}

// appendJSON is what pollers commonly publish: names and decimal numbers.
func appendJSON(dst []byte, r *ups.Reading) []byte {
	dst = fmt.Appendf(dst, `{"time":%d,"ups":"rack-a"`, r.At.UnixMilli())
	for i, c := range r.Layout.Columns {
		if r.Raw[i] != ups.Absent {
			dst = append(strconv.AppendQuote(append(dst, ','), c.Point.String()), ':')
			dst = strconv.AppendFloat(dst, float64(r.Raw[i])/float64(c.Divisor), 'g', 6, 64)
		}
	}
	return append(dst, '}')
}

// appendProtobuf is a message of a time (fixed64), the unit's name and a sint64 per point, each a field of its own: what a
// hand-written schema comes to at best. Source: protobuf.dev, Encoding.
func appendProtobuf(dst []byte, r *ups.Reading) []byte {
	const fixed64, text, varint = 1, 2, 0
	tag := func(field uint64, kind uint64) { dst = binary.AppendUvarint(dst, field<<3|kind) }
	tag(1, fixed64)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.At.UnixMilli()))
	tag(2, text)
	dst = append(binary.AppendUvarint(dst, 6), "rack-a"...)
	for i, c := range r.Layout.Columns {
		if v := r.Raw[i]; v != ups.Absent {
			tag(uint64(c.Point)+2, varint)
			dst = binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63)) // zigzag
		}
	}
	return dst
}

// network measures the ways on the noisy trace, one after the other over one TLS broker.
func (b *bench) network(ctx context.Context) (out []wireBytes, err error) {
	broker, err := b.tlsBroker(ctx, filepath.Join(b.dir, "network"))
	if err != nil {
		return nil, err
	}
	defer broker.stop()
	for _, w := range ways {
		one, err := b.publishTrace(ctx, broker, w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		out = append(out, one)
	}
	return out, nil
}

const benchAgent = "0123456789abcdef0123456789abcdef"

func (b *bench) publishTrace(ctx context.Context, broker *tlsBroker, w way) (out wireBytes, err error) {
	c, err := broker.connect()
	if err != nil {
		return out, err
	}
	defer c.close()
	length := traceTime
	if b.quick {
		length = 2 * time.Minute
	}
	out.Way = w.name
	begin := time.Now()
	batch, encoder := sampler.NewBatch(func(t time.Time) time.Duration { return t.Sub(begin) }), wire.NewEncoder()
	var room sampler.Room
	publish := func(payload []byte) error {
		out.Messages++
		return c.publish(wire.Topic(benchAgent, wire.TopicSamples), payload, w.poll == nil)
	}
	err = play(ctx, "noisy", begin, length, func(r *ups.Reading) error {
		for _, v := range r.Raw {
			if v != ups.Absent {
				out.Samples++
			}
		}
		if w.poll != nil {
			return publish(w.poll(nil, r))
		}
		batch.Put(r, sampler.Owner{Device: serial})
		return nil
	}, func(now time.Duration) error {
		if w.poll != nil || now%w.every != 0 {
			return ctx.Err()
		}
		_, err := batch.Take(&room, func(of sampler.Owner, rows []wire.Rows) error {
			body, err := encoder.Encode(nil, &wire.Block{Unit: "rack-a", Device: of.Device, Sections: rows})
			if err != nil {
				return err
			}
			msg, err := wire.SampleMessage(nil, benchAgent, wire.Record{
				Lane: wire.Samples, Class: wire.ClassSamples, Seq: uint64(200_000 + out.Messages), Boot: 12, Payload: body,
				Stamp: wire.Stamp{Mono: time.Duration(rows[0].At[0]) * time.Millisecond, Wall: begin},
			})
			if err != nil {
				return err
			}
			return publish(msg)
		})
		return err
	})
	if err != nil {
		return out, err
	}
	up, down, err := c.settled()
	out.Up, out.Down = float64(up)/float64(out.Samples), float64(down)/float64(out.Samples)
	return out, err
}

func printNetwork(w io.Writer, rows []wireBytes) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nOn the network, the noisy trace at the default rates of a serial line, MQTT at quality of service 1 within TLS 1.3, bytes of the\n"+
		"socket (TCP and IP not in it) per value that is there; down are PUBACK and an acknowledgement of the cloud per block:\n")
	fmt.Fprintf(t, "way\tmessages\tup\tdown\tboth, of the first\t\n")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.3f\t× %.1f\t\n", r.Way, r.Messages, r.Up, r.Down, (r.Up+r.Down)/(rows[0].Up+rows[0].Down))
	}
	t.Flush()
}
