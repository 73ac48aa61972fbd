package ups

// The points. Numbers are part of the wire format and never change; gaps leave room within a block.
const (
	// Status block. Protocol reference, section 5.1.
	StatusFlags   Point = 1
	StatusCause   Point = 2
	MainOutlet    Point = 3
	SOG0Outlet    Point = 4
	SOG1Outlet    Point = 5
	SOG2Outlet    Point = 6
	SOG3Outlet    Point = 7
	Signalling    Point = 8
	GeneralError  Point = 9
	PowerError    Point = 10
	BatteryError  Point = 11
	BatteryTest   Point = 12
	Calibration   Point = 13
	BatteryLife   Point = 14
	UserInterface Point = 15
	// Dynamic block. Section 5.2.
	Runtime                Point = 20
	Charge                 Point = 21
	BatteryVoltage         Point = 22
	BatteryVoltageNegative Point = 23
	ReplaceBy              Point = 24
	BatteryTemperature     Point = 25
	LoadReal               Point = 26
	LoadReal2              Point = 27
	LoadApparent           Point = 28
	LoadApparent2          Point = 29
	OutputCurrent          Point = 30
	OutputCurrent2         Point = 31
	OutputVoltage          Point = 32
	OutputVoltage2         Point = 33
	OutputFrequency        Point = 34
	OutputEnergy           Point = 35
	BypassStatus           Point = 36
	BypassVoltage          Point = 37
	BypassFrequency        Point = 38
	InputStatus            Point = 39
	InputVoltage           Point = 40
	InputVoltage2          Point = 41
	InputVoltage3          Point = 42
	Efficiency             Point = 43
	MainTurnOff            Point = 50
	MainTurnOn             Point = 51
	MainStayOff            Point = 52
	SOG0TurnOff            Point = 53
	SOG0TurnOn             Point = 54
	SOG0StayOff            Point = 55
	SOG1TurnOff            Point = 56
	SOG1TurnOn             Point = 57
	SOG1StayOff            Point = 58
	SOG2TurnOff            Point = 59
	SOG2TurnOn             Point = 60
	SOG2StayOff            Point = 61
	SOG3TurnOff            Point = 62
	SOG3TurnOn             Point = 63
	SOG3StayOff            Point = 64
	// Inventory. Section 5.3.
	ProductID                Point = 70
	Firmware                 Point = 71
	Model                    Point = 72
	SKU                      Point = 73
	Serial                   Point = 74
	BatterySKU               Point = 75
	ExternalBatterySKU       Point = 76
	NominalApparentPower     Point = 77
	NominalPower             Point = 78
	OutletConfig             Point = 79
	Manufactured             Point = 80
	OutputVoltageSetting     Point = 81
	OutputFrequencySetting   Point = 82
	BatteryInstalled         Point = 83
	Name                     Point = 84
	MainName                 Point = 85
	SOG0Name                 Point = 86
	SOG1Name                 Point = 87
	SOG2Name                 Point = 88
	OutputVoltageSettingWide Point = 90
	// Settings. Section 5.4.
	TestInterval     Point = 100
	UpperTransfer    Point = 101
	LowerTransfer    Point = 102
	Sensitivity      Point = 103
	MainTurnOffDelay Point = 104
	MainTurnOnDelay  Point = 105
	MainStayOffDelay Point = 106
	MainMinRuntime   Point = 107
	SOG0TurnOffDelay Point = 108
	SOG0TurnOnDelay  Point = 109
	SOG0StayOffDelay Point = 110
	SOG0MinRuntime   Point = 111
	SOG1TurnOffDelay Point = 112
	SOG1TurnOnDelay  Point = 113
	SOG1StayOffDelay Point = 114
	SOG1MinRuntime   Point = 115
	SOG2TurnOffDelay Point = 116
	SOG2TurnOnDelay  Point = 117
	SOG2StayOffDelay Point = 118
	SOG2MinRuntime   Point = 119
	SOG3TurnOffDelay Point = 120
	SOG3TurnOnDelay  Point = 121
	SOG3StayOffDelay Point = 122
	MainShedConfig   Point = 124
	MainShedRuntime  Point = 125
	MainShedTime     Point = 126
	SOG0ShedConfig   Point = 127
	SOG0ShedRuntime  Point = 128
	SOG0ShedTime     Point = 129
	SOG1ShedConfig   Point = 130
	SOG1ShedRuntime  Point = 131
	SOG1ShedTime     Point = 132
	SOG2ShedConfig   Point = 133
	SOG2ShedRuntime  Point = 134
	SOG2ShedTime     Point = 135
	// Verification. Section 5.6.
	MapID Point = 140

	pointLimit = 141 // one above the highest point
)

var catalogue = [pointLimit]Info{
	StatusFlags:              {Name: "status", Kind: Flags, Help: "state of the unit"},
	StatusCause:              {Name: "status_cause", Kind: Code, Help: "cause of the last change of state"},
	MainOutlet:               {Name: "main_outlet", Kind: Flags, Group: MainGroup, Help: "state of the outlet group"},
	SOG0Outlet:               {Name: "sog0_outlet", Kind: Flags, Group: SOG0, Help: "state of the outlet group"},
	SOG1Outlet:               {Name: "sog1_outlet", Kind: Flags, Group: SOG1, Help: "state of the outlet group"},
	SOG2Outlet:               {Name: "sog2_outlet", Kind: Flags, Group: SOG2, Help: "state of the outlet group"},
	SOG3Outlet:               {Name: "sog3_outlet", Kind: Flags, Group: SOG3, Help: "state of the outlet group"},
	Signalling:               {Name: "signalling", Kind: Flags, Help: "simple signalling: power failure, shutdown imminent"},
	GeneralError:             {Name: "general_error", Kind: Flags, Help: "general errors"},
	PowerError:               {Name: "power_error", Kind: Flags, Help: "errors of the power system"},
	BatteryError:             {Name: "battery_error", Kind: Flags, Help: "errors of the battery system"},
	BatteryTest:              {Name: "battery_test", Kind: Flags, Help: "last or running self-test; sticky"},
	Calibration:              {Name: "calibration", Kind: Flags, Help: "last or running runtime calibration; sticky"},
	BatteryLife:              {Name: "battery_life", Kind: Flags, Help: "battery lifetime status"},
	UserInterface:            {Name: "user_interface", Kind: Flags, Help: "panel test and beeper"},
	Runtime:                  {Name: "battery_runtime", Unit: "s", Kind: Measure, Metric: Metric{Name: "ups_battery_runtime_seconds", Scale: 1}, Help: "runtime remaining on battery"},
	Charge:                   {Name: "battery_charge", Unit: "%", Kind: Measure, Metric: Metric{Name: "ups_battery_charge_ratio", Scale: 0.01}, Help: "state of charge"},
	BatteryVoltage:           {Name: "battery_voltage", Unit: "V", Kind: Measure, Metric: Metric{Name: "ups_battery_volts", Scale: 1}, Help: "battery bus voltage, positive half on split-bus units"},
	BatteryVoltageNegative:   {Name: "battery_voltage_negative", Unit: "V", Kind: Measure, Help: "negative half of a split battery bus"},
	ReplaceBy:                {Name: "battery_replace_by", Unit: "d", Kind: Date, Metric: Metric{Name: "ups_battery_replace_by_timestamp_seconds", Scale: 1}, Help: "predicted battery replacement date; month accuracy"},
	BatteryTemperature:       {Name: "battery_temperature", Unit: "°C", Kind: Measure, Metric: Metric{Name: "ups_battery_temperature_celsius", Scale: 1}, Help: "battery temperature"},
	LoadReal:                 {Name: "load_real", Unit: "%", Kind: Measure, Metric: Metric{Name: "ups_output_load_ratio", Label: "kind", Value: "real", Scale: 0.01}, Help: "real power, of the rating; beyond it in overload"},
	LoadReal2:                {Name: "load_real_2", Unit: "%", Kind: Measure, Help: "real power of phase 2"},
	LoadApparent:             {Name: "load_apparent", Unit: "%", Kind: Measure, Metric: Metric{Name: "ups_output_load_ratio", Label: "kind", Value: "apparent", Scale: 0.01}, Help: "apparent power, of the rating"},
	LoadApparent2:            {Name: "load_apparent_2", Unit: "%", Kind: Measure, Help: "apparent power of phase 2"},
	OutputCurrent:            {Name: "output_current", Unit: "A", Kind: Measure, Metric: Metric{Name: "ups_output_amperes", Scale: 1}, Help: "output current, RMS"},
	OutputCurrent2:           {Name: "output_current_2", Unit: "A", Kind: Measure, Help: "output current of phase 2"},
	OutputVoltage:            {Name: "output_voltage", Unit: "V", Kind: Measure, Metric: Metric{Name: "ups_output_volts", Scale: 1}, Help: "output voltage"},
	OutputVoltage2:           {Name: "output_voltage_2", Unit: "V", Kind: Measure, Help: "output voltage of phase 2"},
	OutputFrequency:          {Name: "output_frequency", Unit: "Hz", Kind: Measure, Metric: Metric{Name: "ups_output_frequency_hertz", Scale: 1}, Help: "output frequency"},
	OutputEnergy:             {Name: "output_energy", Unit: "Wh", Kind: Measure, Metric: Metric{Name: "ups_output_energy_joules_total", Scale: 3600, Counter: true}, Help: "energy delivered since manufacture; wraps"},
	BypassStatus:             {Name: "bypass_status", Kind: Flags, Help: "state of the bypass input"},
	BypassVoltage:            {Name: "bypass_voltage", Unit: "V", Kind: Measure, Help: "voltage of a separate bypass feed"},
	BypassFrequency:          {Name: "bypass_frequency", Unit: "Hz", Kind: Measure, Help: "frequency of a separate bypass feed"},
	InputStatus:              {Name: "input_status", Kind: Flags, Help: "state of the input; for logging, not for events"},
	InputVoltage:             {Name: "input_voltage", Unit: "V", Kind: Measure, Metric: Metric{Name: "ups_input_volts", Scale: 1}, Help: "input voltage"},
	InputVoltage2:            {Name: "input_voltage_2", Unit: "V", Kind: Measure, Help: "input voltage of phase 2"},
	InputVoltage3:            {Name: "input_voltage_3", Unit: "V", Kind: Measure, Help: "input voltage of phase 3"},
	Efficiency:               {Name: "efficiency", Unit: "%", Kind: Measure, Metric: Metric{Name: "ups_efficiency_ratio", Scale: 0.01}, Help: "efficiency; a negative raw value is the reason why there is none"},
	MainTurnOff:              {Name: "main_turn_off", Unit: "s", Kind: Countdown, Group: MainGroup, Help: "seconds until the group turns off"},
	MainTurnOn:               {Name: "main_turn_on", Unit: "s", Kind: Countdown, Group: MainGroup, Help: "seconds until the group turns on"},
	MainStayOff:              {Name: "main_stay_off", Unit: "s", Kind: Countdown, Group: MainGroup, Help: "seconds the group stays off"},
	SOG0TurnOff:              {Name: "sog0_turn_off", Unit: "s", Kind: Countdown, Group: SOG0, Help: "seconds until the group turns off"},
	SOG0TurnOn:               {Name: "sog0_turn_on", Unit: "s", Kind: Countdown, Group: SOG0, Help: "seconds until the group turns on"},
	SOG0StayOff:              {Name: "sog0_stay_off", Unit: "s", Kind: Countdown, Group: SOG0, Help: "seconds the group stays off"},
	SOG1TurnOff:              {Name: "sog1_turn_off", Unit: "s", Kind: Countdown, Group: SOG1, Help: "seconds until the group turns off"},
	SOG1TurnOn:               {Name: "sog1_turn_on", Unit: "s", Kind: Countdown, Group: SOG1, Help: "seconds until the group turns on"},
	SOG1StayOff:              {Name: "sog1_stay_off", Unit: "s", Kind: Countdown, Group: SOG1, Help: "seconds the group stays off"},
	SOG2TurnOff:              {Name: "sog2_turn_off", Unit: "s", Kind: Countdown, Group: SOG2, Help: "seconds until the group turns off"},
	SOG2TurnOn:               {Name: "sog2_turn_on", Unit: "s", Kind: Countdown, Group: SOG2, Help: "seconds until the group turns on"},
	SOG2StayOff:              {Name: "sog2_stay_off", Unit: "s", Kind: Countdown, Group: SOG2, Help: "seconds the group stays off"},
	SOG3TurnOff:              {Name: "sog3_turn_off", Unit: "s", Kind: Countdown, Group: SOG3, Help: "seconds until the group turns off"},
	SOG3TurnOn:               {Name: "sog3_turn_on", Unit: "s", Kind: Countdown, Group: SOG3, Help: "seconds until the group turns on"},
	SOG3StayOff:              {Name: "sog3_stay_off", Unit: "s", Kind: Countdown, Group: SOG3, Help: "seconds the group stays off"},
	ProductID:                {Name: "product_id", Kind: Code, Help: "product and firmware id; undocumented"},
	Firmware:                 {Name: "firmware", Kind: Text, Help: "firmware version"},
	Model:                    {Name: "model", Kind: Text, Help: "model name"},
	SKU:                      {Name: "sku", Kind: Text, Help: "order number; tells the family"},
	Serial:                   {Name: "serial", Kind: Text, Help: "serial number"},
	BatterySKU:               {Name: "battery_sku", Kind: Text, Help: "battery cartridge"},
	ExternalBatterySKU:       {Name: "external_battery_sku", Kind: Text, Help: "external battery pack"},
	NominalApparentPower:     {Name: "nominal_apparent_power", Unit: "VA", Kind: Measure, Metric: Metric{Name: "ups_nominal_apparent_power_voltamperes", Scale: 1}, Help: "apparent power rating"},
	NominalPower:             {Name: "nominal_power", Unit: "W", Kind: Measure, Metric: Metric{Name: "ups_nominal_power_watts", Scale: 1}, Help: "real power rating"},
	OutletConfig:             {Name: "outlet_config", Kind: Flags, Help: "outlet groups that exist"},
	Manufactured:             {Name: "manufactured", Unit: "d", Kind: Date, Help: "date of manufacture"},
	OutputVoltageSetting:     {Name: "output_voltage_setting", Kind: Choice, Help: "nominal output voltage; may not show every value"},
	OutputFrequencySetting:   {Name: "output_frequency_setting", Kind: Choice, Help: "acceptable output frequency; never written"},
	BatteryInstalled:         {Name: "battery_installed", Unit: "d", Kind: Date, Help: "battery installation date a user sets"},
	Name:                     {Name: "name", Kind: Text, Help: "name of the unit"},
	MainName:                 {Name: "main_name", Kind: Text, Group: MainGroup, Help: "name of the outlet group"},
	SOG0Name:                 {Name: "sog0_name", Kind: Text, Group: SOG0, Help: "name of the outlet group"},
	SOG1Name:                 {Name: "sog1_name", Kind: Text, Group: SOG1, Help: "name of the outlet group"},
	SOG2Name:                 {Name: "sog2_name", Kind: Text, Group: SOG2, Help: "name of the outlet group"},
	OutputVoltageSettingWide: {Name: "output_voltage_setting_wide", Kind: Choice, Help: "nominal output voltage, every value; newer firmware only"},
	TestInterval:             {Name: "test_interval", Kind: Choice, Help: "when the unit tests its battery by itself"},
	UpperTransfer:            {Name: "upper_transfer", Unit: "V", Kind: Measure, Help: "upper transfer point"},
	LowerTransfer:            {Name: "lower_transfer", Unit: "V", Kind: Measure, Help: "lower transfer point"},
	Sensitivity:              {Name: "sensitivity", Kind: Choice, Help: "sensitivity to input disturbances"},
	MainTurnOffDelay:         {Name: "main_turn_off_delay", Unit: "s", Kind: Measure, Group: MainGroup, Help: "delay before the group turns off"},
	MainTurnOnDelay:          {Name: "main_turn_on_delay", Unit: "s", Kind: Measure, Group: MainGroup, Help: "delay before the group turns on"},
	MainStayOffDelay:         {Name: "main_stay_off_delay", Unit: "s", Kind: Measure, Group: MainGroup, Help: "time the group stays off in a reboot"},
	MainMinRuntime:           {Name: "main_min_return_runtime", Unit: "s", Kind: Measure, Group: MainGroup, Help: "least runtime before the group returns"},
	SOG0TurnOffDelay:         {Name: "sog0_turn_off_delay", Unit: "s", Kind: Measure, Group: SOG0, Help: "delay before the group turns off"},
	SOG0TurnOnDelay:          {Name: "sog0_turn_on_delay", Unit: "s", Kind: Measure, Group: SOG0, Help: "delay before the group turns on"},
	SOG0StayOffDelay:         {Name: "sog0_stay_off_delay", Unit: "s", Kind: Measure, Group: SOG0, Help: "time the group stays off in a reboot"},
	SOG0MinRuntime:           {Name: "sog0_min_return_runtime", Unit: "s", Kind: Measure, Group: SOG0, Help: "least runtime before the group returns"},
	SOG1TurnOffDelay:         {Name: "sog1_turn_off_delay", Unit: "s", Kind: Measure, Group: SOG1, Help: "delay before the group turns off"},
	SOG1TurnOnDelay:          {Name: "sog1_turn_on_delay", Unit: "s", Kind: Measure, Group: SOG1, Help: "delay before the group turns on"},
	SOG1StayOffDelay:         {Name: "sog1_stay_off_delay", Unit: "s", Kind: Measure, Group: SOG1, Help: "time the group stays off in a reboot"},
	SOG1MinRuntime:           {Name: "sog1_min_return_runtime", Unit: "s", Kind: Measure, Group: SOG1, Help: "least runtime before the group returns"},
	SOG2TurnOffDelay:         {Name: "sog2_turn_off_delay", Unit: "s", Kind: Measure, Group: SOG2, Help: "delay before the group turns off"},
	SOG2TurnOnDelay:          {Name: "sog2_turn_on_delay", Unit: "s", Kind: Measure, Group: SOG2, Help: "delay before the group turns on"},
	SOG2StayOffDelay:         {Name: "sog2_stay_off_delay", Unit: "s", Kind: Measure, Group: SOG2, Help: "time the group stays off in a reboot"},
	SOG2MinRuntime:           {Name: "sog2_min_return_runtime", Unit: "s", Kind: Measure, Group: SOG2, Help: "least runtime before the group returns"},
	SOG3TurnOffDelay:         {Name: "sog3_turn_off_delay", Unit: "s", Kind: Measure, Group: SOG3, Help: "delay before the group turns off"},
	SOG3TurnOnDelay:          {Name: "sog3_turn_on_delay", Unit: "s", Kind: Measure, Group: SOG3, Help: "delay before the group turns on"},
	SOG3StayOffDelay:         {Name: "sog3_stay_off_delay", Unit: "s", Kind: Measure, Group: SOG3, Help: "time the group stays off in a reboot"},
	MainShedConfig:           {Name: "main_shed_config", Kind: Flags, Group: MainGroup, Help: "when the group sheds its load"},
	MainShedRuntime:          {Name: "main_shed_runtime", Unit: "s", Kind: Measure, Group: MainGroup, Help: "sheds at this runtime or less"},
	MainShedTime:             {Name: "main_shed_time", Unit: "s", Kind: Measure, Group: MainGroup, Help: "sheds after this time on battery"},
	SOG0ShedConfig:           {Name: "sog0_shed_config", Kind: Flags, Group: SOG0, Help: "when the group sheds its load"},
	SOG0ShedRuntime:          {Name: "sog0_shed_runtime", Unit: "s", Kind: Measure, Group: SOG0, Help: "sheds at this runtime or less"},
	SOG0ShedTime:             {Name: "sog0_shed_time", Unit: "s", Kind: Measure, Group: SOG0, Help: "sheds after this time on battery"},
	SOG1ShedConfig:           {Name: "sog1_shed_config", Kind: Flags, Group: SOG1, Help: "when the group sheds its load"},
	SOG1ShedRuntime:          {Name: "sog1_shed_runtime", Unit: "s", Kind: Measure, Group: SOG1, Help: "sheds at this runtime or less"},
	SOG1ShedTime:             {Name: "sog1_shed_time", Unit: "s", Kind: Measure, Group: SOG1, Help: "sheds after this time on battery"},
	SOG2ShedConfig:           {Name: "sog2_shed_config", Kind: Flags, Group: SOG2, Help: "when the group sheds its load"},
	SOG2ShedRuntime:          {Name: "sog2_shed_runtime", Unit: "s", Kind: Measure, Group: SOG2, Help: "sheds at this runtime or less"},
	SOG2ShedTime:             {Name: "sog2_shed_time", Unit: "s", Kind: Measure, Group: SOG2, Help: "sheds after this time on battery"},
	MapID:                    {Name: "map_id", Kind: Text, Help: "version of the register map"},
}
