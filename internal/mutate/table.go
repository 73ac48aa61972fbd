package main

import "slices"

// mutants returns every check that keeps a rule, with what is left without it. One that is added to the programs gets its line here.
func mutants() []mutant {
	return slices.Concat(ofPolicy, ofSite, ofDevices, ofOrders, ofJobs, ofInvitation, ofLicences, ofNotices, ofBundles)
}
