package alarm

import "slices"

func allStories() []story {
	return slices.Concat(generalStories, linkStories, bitStories(), inAllStories(), batteryStories, outputStories, testStories, outletStories, edgeStories(), identityStories, floodStories())
}
