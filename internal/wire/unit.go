package wire

// UnitOf returns the name of the unit that a stored payload is about, "" for what is about none; false if it cannot be read. Of a
// block it reads the head alone, so it needs no schema.
func UnitOf(class Class, payload []byte) (unit string, ok bool) {
	switch class {
	case ClassAlarm:
		e, err := DecodeEvent(payload)
		return e.Unit, err == nil
	case ClassGap:
		g, err := DecodeGap(payload)
		return g.Unit, err == nil
	case ClassResult:
		r, err := DecodeResult(payload)
		return r.Unit, err == nil
	}
	unit, _, ok = blockHead(class, payload)
	return unit, ok
}

// DeviceOf returns the serial number of the unit that a stored payload is about, "" where it is not said; false if it cannot be read.
// Of a block it reads the head alone, so it needs no schema.
func DeviceOf(class Class, payload []byte) (device string, ok bool) {
	switch class {
	case ClassAlarm:
		e, err := DecodeEvent(payload)
		return e.Device, err == nil
	case ClassGap:
		_, err := DecodeGap(payload)
		return "", err == nil
	case ClassResult:
		r, err := DecodeResult(payload)
		return r.Device, err == nil
	}
	_, device, ok = blockHead(class, payload)
	return device, ok
}

// blockHead reads the names at the head of a block or picture.
func blockHead(class Class, payload []byte) (unit, device string, ok bool) {
	body := payload
	switch class {
	case ClassSamples:
	case ClassPicture:
		c := cursor{b: payload}
		if c.uvarint(); c.err != nil {
			return "", "", false
		}
		body = c.b
	default:
		return "", "", false
	}
	content, err := unpack(body)
	if err != nil {
		return "", "", false
	}
	c := cursor{b: content}
	unit, device = c.text("length of the unit's name", maxName), c.text("length of the serial number", maxName)
	return unit, device, c.err == nil
}
