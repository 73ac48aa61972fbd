package policy

// An Action is something that can be done with a device, an organisation or an agent (rules, section 2). One that is not listed is
// refused to everyone (PERM-1).
type Action string

// The actions, the rows of the matrix.
const (
	InventoryRead     Action = "inventory.read"
	MonitorStatus     Action = "monitor.status"
	MonitorHistory    Action = "monitor.history"
	IncidentRead      Action = "incident.read"
	AssessmentRead    Action = "assessment.read"
	EventLogRead      Action = "eventlog.read"
	ConfigureLabel    Action = "configure.label"
	ConfigureDevice   Action = "configure.device"
	AlarmMute         Action = "alarm.mute"
	AlarmAck          Action = "alarm.ack"
	DiagnosticsRun    Action = "diagnostics.run"
	FirmwareUpgrade   Action = "firmware.upgrade"
	SupportBundle     Action = "support.bundle"
	OrderCancel       Action = "order.cancel"
	RebootUPS         Action = "reboot.ups"
	RebootGroup       Action = "reboot.group"
	ControlOutlet     Action = "control.outlet"
	LicenceApply      Action = "licence.apply"
	ReportInventory   Action = "report.inventory"
	ReportOperational Action = "report.operational"
	NotifyAddDevice   Action = "notify.add_device"
	NotifyReceive     Action = "notify.receive"
	ShareInvite       Action = "share.invite"
	ShareList         Action = "share.list"
	ShareRevoke       Action = "share.revoke"
	ShareLeave        Action = "share.leave"
	DeviceRegister    Action = "device.register"
	DeviceDelete      Action = "device.delete"
	DeviceTransfer    Action = "device.transfer"
	PartnerAdd        Action = "partner.add"
	PartnerGrant      Action = "partner.grant"
	PartnerRevoke     Action = "partner.revoke"
	PartnerLeave      Action = "partner.leave"
	APIRead           Action = "api.read"
	AgentEnroll       Action = "agent.enroll"
	AgentRemove       Action = "agent.remove"
)

// A Group is what a site allows or not, in orders.allow of the agent's configuration (design, section 7).
type Group string

// The groups.
const (
	GroupDiagnostics Group = "diagnostics"
	GroupAlarms      Group = "alarms"
	GroupSettings    Group = "settings"
	GroupReboot      Group = "reboot"
	GroupOutlets     Group = "outlets"
	GroupFirmware    Group = "firmware"
)

// Groups lists the groups.
var Groups = [...]Group{GroupDiagnostics, GroupAlarms, GroupSettings, GroupReboot, GroupOutlets, GroupFirmware}

// commands are the actions that pass through the agent to a unit, with their group. A cancellation follows what it cancels.
var commands = map[Action]Group{
	DiagnosticsRun:  GroupDiagnostics,
	SupportBundle:   GroupDiagnostics,
	AlarmMute:       GroupAlarms,
	AlarmAck:        GroupAlarms,
	ConfigureDevice: GroupSettings,
	RebootUPS:       GroupReboot,
	RebootGroup:     GroupReboot,
	ControlOutlet:   GroupOutlets,
	FirmwareUpgrade: GroupFirmware,
	OrderCancel:     "",
}

// Command reports whether the action passes through the agent.
func (a Action) Command() bool {
	_, ok := commands[a]
	return ok
}

// Group returns the group of a command; "" for order.cancel, whose group is that of the order it cancels, and for what is none.
func (a Action) Group() Group { return commands[a] }

// Sensitive reports whether the action can switch off what the unit feeds, or change when it does: in the cloud it asks for a fresh second
// factor (D-18).
func (a Action) Sensitive() bool {
	switch a {
	case RebootUPS, RebootGroup, ControlOutlet, FirmwareUpgrade, ConfigureDevice:
		return true
	}
	return false
}
