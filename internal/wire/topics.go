package wire

import (
	"fmt"
	"strings"
)

// Prefix begins every topic. Its second level is the version of the topics.
const Prefix = "upsedge/v1/"

// A Leaf is the last level of a topic (design, section 6).
type Leaf string

// The leaves. This version of the agent publishes state, events, samples and results.
const (
	TopicState   Leaf = "state"   // up, retained, also the will
	TopicEvents  Leaf = "events"  // up
	TopicSamples Leaf = "samples" // up
	TopicResults Leaf = "results" // up
	TopicHost    Leaf = "host"    // up
	TopicOrders  Leaf = "orders"  // down, never retained
	TopicAcks    Leaf = "acks"    // down
)

// Leaves lists the leaves.
var Leaves = [...]Leaf{TopicState, TopicEvents, TopicSamples, TopicResults, TopicHost, TopicOrders, TopicAcks}

// QoS is the quality of service of every topic.
const QoS = 1

// MaxAgent is the length of the longest agent id.
const MaxAgent = 64

// Topic returns the topic of an agent, "upsedge/v1/rack7/state" for instance. The agent id must have passed CheckAgent.
func Topic(agent string, leaf Leaf) string { return Prefix + agent + "/" + string(leaf) }

// Leaf returns the leaf on which records of the class are published, "" for a class that is not known.
func (c Class) Leaf() Leaf {
	switch c {
	case ClassAlarm, ClassGap:
		return TopicEvents
	case ClassSamples, ClassPicture:
		return TopicSamples
	case ClassResult:
		return TopicResults
	}
	return ""
}

// SplitTopic is the inverse of Topic.
func SplitTopic(topic string) (agent string, leaf Leaf, err error) {
	rest, ok := strings.CutPrefix(topic, Prefix)
	agent, last, two := strings.Cut(rest, "/")
	if !ok || !two {
		return "", "", fmt.Errorf("topic %.100q is not %s<agent id>/<leaf>", topic, Prefix)
	}
	if err := CheckAgent(agent); err != nil {
		return "", "", fmt.Errorf("topic %.100q: %w", topic, err)
	}
	for _, l := range Leaves {
		if string(l) == last {
			return agent, l, nil
		}
	}
	return "", "", fmt.Errorf("topic %.100q ends with none of %v", topic, Leaves)
}

// CheckAgent reports what is wrong with an agent id: it has 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'. So it is
// one level of a topic, never a wildcard, and can be a file name ("." and ".." are refused).
func CheckAgent(id string) error {
	if id == "" || len(id) > MaxAgent {
		return fmt.Errorf("agent id has %d characters, want 1 to %d", len(id), MaxAgent)
	}
	if id == "." || id == ".." {
		return fmt.Errorf("agent id %q is a directory", id)
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("agent id %q has the character %q, want only A-Z a-z 0-9 . _ -", id, c)
		}
	}
	return nil
}
