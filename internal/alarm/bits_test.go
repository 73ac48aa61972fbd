package alarm

import (
	"fmt"
	"strings"

	"upsedge/internal/ups"
)

// bitAlarms are the alarms that one bit makes, as the catalogue has them: the word and the mask in hexadecimal, and the block it
// is read with. A status word is written with the mode of which it is one.
var bitAlarms = []struct {
	id    ups.AlarmID
	word  string
	bit   uint32
	block string
}{
	{116, "U", 1<<19 | 2, "watch"},
	{204, "B", 1 << 0, "status"},
	{205, "B", 1 << 1, "status"},
	{206, "B", 1 << 2, "status"},
	{207, "B", 1 << 3, "status"},
	{208, "B", 1 << 7, "status"},
	{209, "B", 1 << 4, "status"},
	{210, "B", 1 << 5, "status"},
	{211, "B", 1 << 6, "status"},
	{212, "B", 1 << 8, "status"},
	{213, "B", 1 << 9, "status"},
	{215, "L", 1 << 1, "status"},
	{216, "L", 1 << 2, "status"},
	{217, "L", 1 << 5, "status"},
	{304, "P", 1 << 1, "status"},
	{305, "P", 1 << 2, "status"},
	{306, "P", 1 << 14, "status"},
	{309, "U", 1<<8 | 2, "watch"},
	{310, "U", 1<<9 | 2, "watch"},
	{316, "U", 1<<20 | 2, "watch"},
	{317, "U", 1<<15 | 2, "watch"},
	{320, "G", 1 << 7, "status"},
	{401, "G", 1 << 0, "status"},
	{402, "G", 1 << 1, "status"},
	{403, "G", 1 << 2, "status"},
	{404, "G", 1 << 3, "status"},
	{405, "G", 1 << 4, "status"},
	{406, "G", 1 << 5, "status"},
	{407, "G", 1 << 8, "status"},
	{408, "G", 1 << 9, "status"},
	{409, "G", 1 << 10, "status"},
	{410, "G", 1 << 11, "status"},
	{411, "P", 1 << 4, "status"},
	{412, "P", 1 << 5, "status"},
	{413, "P", 1 << 6, "status"},
	{414, "P", 1 << 7, "status"},
	{415, "P", 1 << 8, "status"},
	{416, "P", 1 << 9, "status"},
	{417, "P", 1 << 10, "status"},
	{418, "P", 1 << 11, "status"},
	{419, "P", 1 << 12, "status"},
	{420, "P", 1 << 13, "status"},
	{421, "P", 1 << 3, "status"},
	{422, "U", 1<<5 | 2, "status"},
	{423, "U", 1<<14 | 2, "status"},
	{501, "T", 1 << 0, "status"},
	{502, "T", 1 << 1, "status"},
	{508, "R", 1 << 1, "status"},
	{513, "K", 1 << 0, "status"},
	{514, "K", 1 << 1, "status"},
	{515, "K", 1 << 2, "status"},
}

// bitStory: two polls raise it and not one, two clear it and not one, a poll of something else in between is no vote.
func bitStory(name, word, block string, bit uint32) story {
	idle := "0"
	if word == "U" {
		idle = "2"
	}
	if strings.HasSuffix(name, "sog0") || strings.HasSuffix(name, "main") {
		bit, idle = bit|1, "1"
	}
	other := map[string]string{"watch": "live", "status": "live", "live": "watch"}[block]
	return story{"bit " + name, fmt.Sprintf(`
		0    identity groups=3 O0=1
		1..3 status
		3.1  live
		4    %[3]s %[1]s=%[2]x
		5    %[3]s %[1]s=%[4]s
		6    %[3]s %[1]s=%[2]x
		6.1  %[6]s
		7    %[3]s               -> raise %[5]s
		7.1  %[6]s
		8    %[3]s %[1]s=%[4]s
		9    %[3]s %[1]s=%[2]x
		10   %[3]s %[1]s=%[4]s
		10.1 %[6]s
		11   %[3]s               -> clear %[5]s`, word, bit, block, idle, name, other)}
}

// groupBits are the alarms of outlet groups.
var groupBits = []struct {
	id  ups.AlarmID
	bit uint32
}{{603, 1 << 2}, {604, 1 << 3}, {605, 1 << 4}, {606, 1 << 7}, {607, 1 << 8}, {608, 1 << 9}, {609, 1 << 10}, {610, 1 << 11}, {611, 1 << 14}}

// groupWords are the words of the groups in the stories.
var groupWords = []string{"O", "O0", "O1", "O2", "O3"}

func bitStories() (out []story) {
	for _, b := range bitAlarms {
		out = append(out, bitStory(fmt.Sprint(b.id), b.word, b.block, b.bit))
	}
	for _, b := range groupBits {
		for i, g := range ups.Groups {
			out = append(out, groupStory(b.id, g, groupWords[i], b.bit|1))
		}
	}
	return out
}

// groupStory: as bitStory, and another group has the bit all the time and its own alarm.
func groupStory(id ups.AlarmID, g ups.Group, word string, bit uint32) story {
	return story{fmt.Sprintf("bit %d %s", id, g), fmt.Sprintf(`
		0    identity groups=%[4]x O=1 O0=1 O1=1 O2=1 O3=1
		1..3 status
		4    status %[1]s=%[2]x
		5    status %[1]s=1
		6    status %[1]s=%[2]x
		7    status              -> raise %[3]d %[5]s
		8    status %[1]s=1
		9    status %[1]s=%[2]x
		10   status %[1]s=1
		11   status              -> clear %[3]d %[5]s
		12   identity groups=%[6]x
		13..15 status %[1]s=%[2]x`, word, bit, id, 0x1F, g, 0x1F&^(1<<(g-ups.MainGroup)))}
}
