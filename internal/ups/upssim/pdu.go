package upssim

import "encoding/binary"

// Function and exception codes (sections 3.1 and 3.4).
const (
	readHolding   = 3
	writeSingle   = 6
	writeMultiple = 16

	illegalFunction = 1
	illegalAddress  = 2
	illegalValue    = 3
	deviceFailure   = 4 // value out of range, combination not accepted, command that cannot be executed now

	maxRead  = 125
	maxWrite = 123
)

// answer carries a request out.
func (u *Unit) answer(pdu []byte) []byte {
	if len(pdu) == 0 {
		return nil
	}
	switch pdu[0] {
	case readHolding:
		return u.read(pdu)
	case writeSingle:
		return u.writeOne(pdu)
	case writeMultiple:
		return u.writeMany(pdu)
	}
	return exception(pdu[0], illegalFunction)
}

func exception(function, code byte) []byte { return []byte{function | 0x80, code} }

func (u *Unit) read(pdu []byte) []byte {
	if len(pdu) != 5 {
		return exception(readHolding, illegalValue)
	}
	addr, count := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	if count == 0 || count > maxRead {
		return exception(readHolding, illegalValue)
	}
	if !readable(addr, count) || !u.covers(addr, count) {
		return exception(readHolding, illegalAddress)
	}
	out := make([]byte, 2, 2+2*count)
	out[0], out[1] = readHolding, byte(2*count)
	for i := range count {
		out = binary.BigEndian.AppendUint16(out, u.register(addr+i))
	}
	return out
}

// readable reports whether a read may cover these registers: it starts at the start of an item and ends at the end of one;
// an address without an item stands for itself. 1536-1539 do not read as data, 1540-1543 do (section 5.5).
func readable(addr, count uint16) bool {
	end := uint32(addr) + uint32(count)
	if end > 1<<16 || addr < aSignallingCommand && end > aUPSCommand {
		return false
	}
	if first := find(addr); first != nil && first.addr != addr {
		return false
	}
	last := find(uint16(end - 1))
	return last == nil || uint32(last.addr)+uint32(last.count) == end
}

func (u *Unit) writeOne(pdu []byte) []byte {
	if len(pdu) != 5 {
		return exception(writeSingle, illegalValue)
	}
	addr := binary.BigEndian.Uint16(pdu[1:])
	it := find(addr)
	raw := []uint16{binary.BigEndian.Uint16(pdu[3:])}
	if u.manner.six == sixNever || u.manner.six == sixSettings && it != nil && it.access == wo {
		u.note(writeSingle, addr, raw, illegalFunction)
		return exception(writeSingle, illegalFunction)
	}
	code := u.write(addr, raw)
	u.note(writeSingle, addr, raw, code)
	switch {
	case code == deviceFailure && u.manner.six == sixTells:
		return binary.BigEndian.AppendUint16(append([]byte(nil), pdu[:3]...), u.register(addr))
	case code != 0:
		return exception(writeSingle, code)
	}
	return append([]byte(nil), pdu...)
}

func (u *Unit) writeMany(pdu []byte) []byte {
	if len(pdu) < 6 {
		return exception(writeMultiple, illegalValue)
	}
	addr, count := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	if count == 0 || count > maxWrite || int(pdu[5]) != 2*int(count) || len(pdu) != 6+2*int(count) {
		return exception(writeMultiple, illegalValue)
	}
	raw := make([]uint16, count)
	for i := range raw {
		raw[i] = binary.BigEndian.Uint16(pdu[6+2*i:])
	}
	code := u.write(addr, raw)
	u.note(writeMultiple, addr, raw, code)
	if code != 0 {
		return exception(writeMultiple, code)
	}
	return append([]byte(nil), pdu[:5]...)
}

// wrote lets a setting that was written have its effect.
func (u *Unit) wrote(addr uint16) {
	if addr == aInstalled {
		u.battery.install(u.regs[aInstalled])
		u.battery.counts = true
	}
}

// write puts raw into the one item it covers, or carries the command out. It returns the exception code, 0 for none.
func (u *Unit) write(addr uint16, raw []uint16) byte {
	it := find(addr)
	if it == nil || it.addr != addr || int(it.count) != len(raw) || !u.have[addr] || it.access == ro {
		return illegalAddress
	}
	if u.fam.readOnly || u.manner.readOnly {
		return illegalAddress // INF: no source says how SURTD, or a port set to read-only, refuses
	}
	ok := false
	if it.access == wo {
		v := uint32(raw[0])
		if it.count == 2 {
			v = v<<16 | uint32(raw[1])
		}
		ok = u.command(it.addr, v)
	} else if ok = u.takes(it, raw); ok && !u.keeps {
		copy(u.regs[addr:], raw)
		u.wrote(it.addr)
	}
	if !ok {
		return deviceFailure
	}
	u.step(u.at)
	u.publish()
	return 0
}
