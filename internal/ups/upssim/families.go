package upssim

// What single rows lack. SMT1500RM2UC with UPS 04.1 answers every write to the load-shed items with exception 2, its config
// items read 0 and the thresholds 0xFFFF (section 6.19); 580 reads zeros there (D13). A split battery bus, three input phases
// and two output phases are marked for a whole column and are had by some of its models (section 5.2).
var (
	lacksShedding    = []absence{{prefix: "MOG.LoadShed", source: "FIELD"}, {prefix: "SOG[0].LoadShed", source: "FIELD"}, {prefix: "Battery.ExternalBattery.", source: "FIELD"}}
	lacksSplit       = absence{prefix: "Battery.Negative.", source: "INF"}
	lacksPhases      = []absence{{prefix: "Input[1].", source: "INF"}, {prefix: "Input[2].", source: "INF"}}
	lacksWideSetting = absence{prefix: "Output.VoltageACSetting_BF_32", source: "INF", undefined: true} // only on newer firmware
)

// usual are the delays AN177 names (section 5.4).
var usual = delays{mogStay: 8, sogOff: 90, sogOn: 0, sogStay: 8}

// families holds the models by SKU. Legal transfer points are not public (section 14): the ranges here enclose the examples
// of section 9 and are a guess. Runtimes at full load are of the size of the vendor's published charts. Where a row is not
// known from a unit, from says so. Product ids (register 512) were seen on an SRT without their value being told, and are INF.
var families = []family{
	{
		sku: "SMT1500RM2UC", model: "Smart-UPS 1500", firmware: "UPS 04.1", batterySKU: "APCRBC133", name: "SMT", column: smt, tcp: tcpKnown,
		from: "map, limits and refusals as reported of an SMT1500RM2UC with UPS 04.1 (FIELD)",
		va:   1440, watts: 1000, nominal: 120, setting: volts120, hertz: 60, groups: mogPresent | sog0Present, inputs: 1, outputs: 1,
		batteryVolts: 24, fullLoad: 402, delays: usual,
		upper: limits{127, 136, 127}, lower: limits{97, 106, 106},
		lacks: lacksShedding,
	},
	{
		sku: "SMT1500IC", model: "Smart-UPS 1500", firmware: "UPS 04.1", batterySKU: "APCRBC7", name: "SMT", column: smt, tcp: tcpKnown,
		from: "the 230 V sister of the first row (INF)",
		va:   1500, watts: 1000, nominal: 230, setting: volts230, hertz: 50, groups: mogPresent | sog0Present, inputs: 1, outputs: 1,
		batteryVolts: 24, fullLoad: 402, delays: usual,
		upper: limits{253, 276, 253}, lower: limits{196, 212, 207},
		lacks: lacksShedding,
	},
	{
		sku: "SMX1500RM2U", model: "Smart-UPS X 1500", firmware: "UPS 16.0", batterySKU: "APCRBC115", externalSKU: "SMX48RMBP2U", name: "SMX", column: smt, tcp: tcpUnknown,
		from: "what 990-9840B marks for SMX; main and two switched groups, external battery and load shedding are INF",
		va:   1440, watts: 1200, nominal: 120, setting: volts120, hertz: 60, groups: mogPresent | sog0Present | sog1Present, inputs: 1, outputs: 1,
		batteryVolts: 48, fullLoad: 520, delays: usual,
		upper: limits{127, 136, 127}, lower: limits{97, 106, 106},
		lacks: []absence{lacksWideSetting},
	},
	{
		sku: "SRT1000XLA", model: "Smart-UPS SRT 1000", firmware: "UPS 16.5", batterySKU: "APCRBC155", name: "SRT", column: srt, tcp: tcpUnknown,
		from:    "groups, limits, refusals and sequences as reported of an SRT1000XLA with UPS 16.5 (FIELD)",
		product: 1021, va: 1000, watts: 900, nominal: 120, setting: volts120, hertz: 60, groups: sog0Present | sog1Present, inputs: 1, outputs: 1,
		batteryVolts: 48, fullLoad: 480, delays: delays{mogStay: 15, sogOff: 60, sogOn: 15, sogStay: 8},
		upper: limits{127, 140, 130}, lower: limits{90, 108, 100},
		frequencies: []uint32{1, 2, 8, 16, 64}, noOutlets: true,
		lacks: append([]absence{lacksSplit}, lacksPhases...),
	},
	{
		sku: "SRT10KXLI", model: "Smart-UPS SRT 10000", firmware: "UPS 08.3", batterySKU: "APCRBC152", name: "SRT", column: srt, tcp: tcpUnknown,
		from:    "what 990-9840B marks for SRT: split battery bus, three input phases, every group; nothing of it was seen on a unit (INF)",
		product: 1005, va: 10000, watts: 10000, nominal: 230, setting: volts230, hertz: 50,
		groups: mogPresent | sog0Present | sog1Present | sog2Present, inputs: 3, outputs: 1,
		batteryVolts: 96, split: true, fullLoad: 230, delays: usual,
		upper: limits{253, 280, 275}, lower: limits{160, 200, 180},
		frequencies: []uint32{1, 2, 8, 16, 64},
	},
	{
		sku: "SURTD5000RMXLT3U", model: "Smart-UPS RT 5000", firmware: "UPS 04.0", batterySKU: "APCRBC140", name: "SURTD", column: surtd, tcp: tcpUnknown,
		from: "what 990-9840B marks for SURTD: two phases, no outlet groups, read-only (note 5)",
		va:   5000, watts: 3500, nominal: 120, setting: volts120x208, hertz: 60, inputs: 2, outputs: 2,
		batteryVolts: 192, fullLoad: 300, upper: limits{127, 140, 135}, lower: limits{90, 108, 100},
		frequencies: []uint32{1}, readOnly: true,
	},
	{
		sku: "SMC1500IC", model: "Smart-UPS C 1500", firmware: "UPS 04.1", batterySKU: "APCRBC6", name: "SMC", column: smt, guess: true,
		from: "no column in 990-9840B: taken as an SMT with a main group alone (INF); no Modbus TCP (REL, ID1018)",
		va:   1500, watts: 900, nominal: 230, setting: volts230, hertz: 50, groups: mogPresent, inputs: 1, outputs: 1,
		batteryVolts: 24, fullLoad: 380, delays: usual, tcp: tcpNone,
		upper: limits{253, 276, 253}, lower: limits{196, 212, 207},
		lacks: lacksShedding,
	},
}
