package modbus

import "encoding/binary"

const (
	readFunction  = 3
	writeFunction = 16
	exceptionBit  = 0x80
)

// matchRTU compares what has come so far with the request it should answer. It returns the length of the reply once
// it is complete, 0 while more is needed, and a *FrameError as soon as it cannot become the answer. A reply of the
// right shape to another question differs in the unit, the function, the byte count, or, for a write, in the address
// or the quantity; where it does not, no field of RTU can tell, and the driver has to.
func matchRTU(request, got []byte) (int, error) {
	size, err := matchUnitAndPDU(request[0], request[1:len(request)-2], got)
	if err != nil || size == 0 {
		return 0, err
	}
	size += 2 // the CRC
	if len(got) < size {
		return 0, nil
	}
	if len(got) > size {
		return 0, frameError(got, "%d bytes instead of %d", len(got), size)
	}
	if want, have := crc16(got[:size-2]), binary.LittleEndian.Uint16(got[size-2:]); want != have {
		return 0, frameError(got, "checksum %04x instead of %04x", have, want)
	}
	return size, nil
}

// matchUnitAndPDU compares unit, function and what of the content is known from the request: the part that RTU and TCP
// share. got begins with the unit. It returns the length of unit and PDU, 0 while too little has come to know it.
func matchUnitAndPDU(unit byte, request, got []byte) (int, error) {
	if len(got) > 0 && got[0] != unit {
		return 0, frameError(got, "unit %d instead of %d", got[0], unit)
	}
	if len(got) < 2 {
		return 0, nil
	}
	switch function := request[0]; {
	case got[1] == function|exceptionBit:
		return exceptionBytes - 2, nil
	case got[1] != function:
		return 0, frameError(got, "function %d instead of %d", got[1], function)
	case function == readFunction:
		return matchReadReply(request, got)
	default:
		return matchWriteReply(request, got)
	}
}

func matchReadReply(request, got []byte) (int, error) {
	size := 2 * int(binary.BigEndian.Uint16(request[3:]))
	if len(got) > 2 && int(got[2]) != size {
		return 0, frameError(got, "%d bytes of registers instead of %d", got[2], size)
	}
	return replyOverhead - 2 + size, nil
}

func matchWriteReply(request, got []byte) (int, error) {
	for i := 2; i < min(len(got), writeReply-2); i++ {
		if got[i] != request[i-1] {
			return 0, frameError(got, "a write of other registers confirmed")
		}
	}
	return writeReply - 2, nil
}

// replyBytes is the length of the RTU reply to an RTU request, if it is no exception.
func replyBytes(request []byte) int {
	if request[1] == readFunction {
		return replyOverhead + 2*int(binary.BigEndian.Uint16(request[4:]))
	}
	return writeReply
}

// crcTable holds the CRC of each byte: polynomial 0xA001, reflected (Modbus over Serial Line V1.02, 6.2.2).
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
		table[i] = crc
	}
	return table
}()

// CRC returns the Modbus checksum of p; on the line its low byte goes first.
func CRC(p []byte) uint16 { return crc16(p) }

// crc16 is the Modbus checksum; on the line its low byte goes first.
func crc16(p []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, b := range p {
		crc = crc>>8 ^ crcTable[byte(crc)^b]
	}
	return crc
}
