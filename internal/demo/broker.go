package main

import (
	"io"
	"log/slog"
	"net"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A broker is an MQTT broker on a loopback port that lets everybody in.
type broker struct {
	server *mqtt.Server
	addr   string
}

// newBroker starts a broker. show is told of every event that passes.
func newBroker(show func(topic, payload string)) (*broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		return nil, err
	}
	if err := s.AddListener(listeners.NewNet("mqtt", l)); err != nil {
		return nil, err
	}
	if err := s.Serve(); err != nil {
		return nil, err
	}
	err = s.Subscribe("upsedge/v1/+/events", 1, func(_ *mqtt.Client, _ packets.Subscription, p packets.Packet) {
		show(p.TopicName, string(p.Payload))
	})
	return &broker{server: s, addr: l.Addr().String()}, err
}

func (b *broker) close() { _ = b.server.Close() }
