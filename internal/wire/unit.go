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
	case ClassPicture:
		c := cursor{b: payload}
		if c.uvarint(); c.err != nil {
			return "", false
		}
		return unitOfBody(c.b)
	case ClassSamples:
		return unitOfBody(payload)
	}
	return "", false
}

func unitOfBody(body []byte) (string, bool) {
	content, err := unpack(body)
	if err != nil {
		return "", false
	}
	c := cursor{b: content}
	unit := c.text("length of the unit's name", maxName)
	return unit, c.err == nil
}
